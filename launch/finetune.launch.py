"""Start finetune_node, which trains on recordings when its action asks it to."""

from arfm_launch import argument, common_arguments, node, use_sim_time_argument
from launch import LaunchDescription
from launch.actions import OpaqueFunction


def start(context):
    return [node(context, 'finetune_node', {
        'bag_dir': str, 'checkpoint_dir': str, 'contract': str, 'objective': str,
        'use_sim_time': bool})]


def generate_launch_description():
    return LaunchDescription([
        argument('bag_dir', 'folder of recordings to train on'),
        argument('checkpoint_dir', 'folder of checkpoints: training starts from the newest and '
                 'publishes there'),
        argument('contract', 'contract YAML: which topics are observation, action and reward; '
                 'empty: that of the newest checkpoint'),
        argument('objective', "what makes good chunks count for more, one of arfm train's"),
        *common_arguments(),
        use_sim_time_argument(),
        OpaqueFunction(function=start),
    ])
