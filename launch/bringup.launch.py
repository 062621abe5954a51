"""
Start the policy on an arm: policy_node, and beside it what the arguments ask for.

With sim:=true the arm is simulated. With finetune:=true the policy can be
improved from what it does while it runs; a real arm needs record:=DIR for that.
"""

import os
import shlex

from arfm_launch import (argument, common_arguments, existing, FLAG, node, share,
                         use_sim_time_argument)
from arfm_launch.beginner import beginner
from arfm_launch.record import recorder
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import Command, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def settle(context):
    """Give the arguments that follow from others their values."""
    given = context.launch_configurations
    if given['sim'] == 'true':
        given['use_sim_time'] = given['use_sim_time'] or 'true'
    if given['record']:
        given['record'] = os.path.abspath(os.path.expanduser(given['record']))
        given['bag_dir'] = given.get('bag_dir') or given['record']
    for name in ('contract', 'checkpoint_dir'):
        given[name] = existing(context, name) or ''
    actions = []
    if given['sim'] == 'true' and not given['checkpoint_dir'] and not given['params_file']:
        actions = beginner(context)
    if given['sim'] == given['finetune'] == 'true' and not given['record']:
        given['record_dir'] = given.get('record_dir') or given.get('bag_dir', '')
    return actions


def robot_state_publisher(context):
    path = existing(context, 'robot')
    if path is None:
        return []
    return [Node(
        package='robot_state_publisher', executable='robot_state_publisher', output='screen',
        parameters=[{
            'robot_description': ParameterValue(
                Command(['xacro ', shlex.quote(path)], on_stderr='warn'), value_type=str),
            'use_sim_time': context.launch_configurations['use_sim_time'] == 'true'}])]


def policy_node(context):
    # The simulated arm is quicker than a description without accelerations says.
    simulated = {'joint_limits': [share('params', 'sim_joint_limits.yaml')]}
    return [node(context, 'policy_node', {
        'contract': str, 'checkpoint_dir': str, 'output': str, 'use_sim_time': bool},
        defaults=simulated if context.launch_configurations['sim'] == 'true' else None,
        remappings=[
            ('~/joint_trajectory', '/joint_trajectory_controller/joint_trajectory'),
            ('~/joint_jog', '/servo_node/delta_joint_cmds')])]


def include(name, condition):
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(share('launch', name)),
        condition=IfCondition(LaunchConfiguration(condition)))


def generate_launch_description():
    return LaunchDescription([
        argument('sim', 'simulate the arm (sim.launch.py); without a checkpoint_dir a policy is '
                 'trained on ten demonstrations first, to have one that moves',
                 default='false', choices=FLAG),
        argument('robot', 'URDF or xacro file: starts robot_state_publisher with it; empty: '
                 '/robot_description comes from elsewhere'),
        argument('contract', 'contract YAML: which topics are observation, action and reward; '
                 'empty: that of the checkpoint'),
        argument('checkpoint_dir', 'folder of checkpoints: the newest is used, new ones are '
                 'swapped in'),
        argument('output', 'how the arm is moved: topic sends JointTrajectory messages, action '
                 'FollowJointTrajectory goals, servo JointJog messages to MoveIt Servo; '
                 'empty: as params_file says, or topic',
                 choices=['', 'topic', 'action', 'servo']),
        argument('finetune', 'start finetune_node as well (finetune.launch.py)',
                 default='false', choices=FLAG),
        argument('record', "folder: record the contract's topics and the policy's chunks into "
                 'an MCAP bag of its own there; finetune_node then trains on this folder'),
        *common_arguments(),
        use_sim_time_argument('take the time from /clock; empty: true with sim:=true'),
        OpaqueFunction(function=settle),
        OpaqueFunction(function=recorder),
        OpaqueFunction(function=robot_state_publisher),
        include('sim.launch.py', 'sim'),
        OpaqueFunction(function=policy_node),
        include('finetune.launch.py', 'finetune'),
    ])
