"""Start the simulated arm, with the topics and action of a joint_trajectory_controller."""

from arfm_launch import argument, common_arguments, node
from launch import LaunchDescription
from launch.actions import OpaqueFunction


def generate_launch_description():
    return LaunchDescription([
        argument('suite', 'tasks of the simulated arm', default='object',
                 choices=['spatial', 'object', 'goal', 'long']),
        argument('seed', 'of the simulated scenes; 0 or more'),
        argument('rate', 'simulated seconds per second'),
        argument('record_dir', 'folder that gets a bag of every episode in which the arm was '
                 'commanded; bringup.launch.py with finetune:=true sets it to bag_dir'),
        *common_arguments(),
        OpaqueFunction(function=lambda context: [
            node(context, 'sim_node', {
                'suite': str, 'seed': int, 'rate': float, 'record_dir': str})]),
    ])
