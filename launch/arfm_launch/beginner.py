"""A first policy for the simulated arm, so that there is one to run and to improve."""

import glob
import os
import time

from arfm_launch import share
from launch.actions import ExecuteProcess, LogInfo, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch_ros.substitutions import ExecutableInPackage
import yaml


def beginner(context):
    """
    Train a policy on ten demonstrations, unless an earlier launch did.

    The arm moves with the first checkpoint, and better with each that follows.
    Sets checkpoint_dir, contract and, where it is empty, bag_dir.
    """
    given = context.launch_configurations
    given['contract'] = given['contract'] or share('contracts', 'sim_state.yaml')
    home = os.path.join(os.environ.get('ROS_HOME') or os.path.expanduser('~/.ros'), 'arfm',
                        given.get('suite', 'object'))
    checkpoints = os.path.join(home, 'checkpoints')
    bags = os.path.join(home, 'bags')
    given['checkpoint_dir'] = checkpoints
    given['bag_dir'] = given.get('bag_dir') or bags
    if glob.glob(os.path.join(checkpoints, '*.safetensors')):
        return [LogInfo(msg=f'sim: goes on with the policy of earlier launches in {checkpoints}')]
    os.makedirs(checkpoints, exist_ok=True)
    stamp = time.strftime('%Y%m%d_%H%M%S')
    arfm = ExecutableInPackage('arfm', 'arfm')
    with open(given['contract'], encoding='utf-8') as file:
        looks = yaml.safe_load(file).get('observation', {}).get('images')
    demonstrations = os.path.join(bags, stamp)
    record = ExecuteProcess(name='record', output='screen', cmd=[
        arfm, 'sim', 'record', '--suite', given.get('suite', 'object'), '--episodes', '10',
        *([] if looks else ['--no-images']), '--out', demonstrations])
    train = ExecuteProcess(name='train', output='screen', prefix='nice', cmd=[
        arfm, 'train', '--contract', given['contract'], '--bags', demonstrations,
        '--objective', 'bc', '--preset', 'nano', '--steps', '300', '--batch', '16',
        '--lr', '2e-3', '--save-every', '50', '--eval-every', '0', '--eval-chunks', '16',
        '--keep', '1', '--out', os.path.join(home, 'training', stamp), '--publish', checkpoints])
    return [
        LogInfo(msg='sim: no checkpoint_dir, so a beginner is trained on ten demonstrations and '
                    f'kept in {checkpoints}; it moves but hardly does a task yet'),
        record,
        RegisterEventHandler(OnProcessExit(
            target_action=record,
            on_exit=lambda event, _: [train] if event.returncode == 0 else [])),
    ]
