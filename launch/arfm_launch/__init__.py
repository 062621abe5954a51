"""What the launch files share: their common arguments, and how a node starts."""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument
from launch_ros.actions import Node

FLAG = ['true', 'false']
# An empty choice leaves the parameter to params_file.
OPTIONAL_FLAG = ['', *FLAG]


def share(*path):
    """Give the path of a file that the package installs."""
    return os.path.join(get_package_share_directory('arfm'), *path)


def argument(name, description, default='', choices=None):
    """Declare an argument of a launch file."""
    return DeclareLaunchArgument(
        name, description=description, default_value=default, choices=choices)


def common_arguments():
    """Declare the arguments that every launch file has."""
    return [
        argument('params_file',
                 'YAML of parameters for the nodes, over the packaged defaults '
                 '(share/arfm/params); arguments that are set go over both'),
        argument('namespace', 'of the nodes; topics of the contract stay as they are written'),
        argument('autostart',
                 'configure and activate the nodes; false: wait for `ros2 lifecycle set`',
                 choices=OPTIONAL_FLAG),
    ]


def use_sim_time_argument(description='take the time from /clock'):
    """Declare use_sim_time."""
    return argument('use_sim_time', description, choices=OPTIONAL_FLAG)


def existing(context, name):
    """Give the absolute path that an argument names, None where it is not set."""
    value = context.launch_configurations.get(name)
    if not value:
        return None
    path = os.path.abspath(os.path.expanduser(value))
    if not os.path.exists(path):
        raise RuntimeError(f'{name}: {path} does not exist')
    return path


def node(context, executable, parameters, defaults=None, **options):
    """
    Make the action that starts a node.

    parameters maps the arguments that are the node's parameters to their types;
    defaults go over the packaged ones, and under those of params_file.
    """
    given = context.launch_configurations
    sources = [share('params', executable.replace('_node', '.yaml'))]
    if defaults:
        sources.append(defaults)
    if params_file := existing(context, 'params_file'):
        sources.append(params_file)
    overrides = {name: _value(name, kind, given[name])
                 for name, kind in {**parameters, 'autostart': bool}.items() if given.get(name)}
    if overrides:
        sources.append(overrides)
    return Node(package='arfm', executable=executable, namespace=given.get('namespace') or None,
                parameters=sources, output='screen', **options)


def _value(name, kind, text):
    if kind is bool:
        return text == 'true'
    try:
        return kind(text)
    except ValueError:
        raise RuntimeError(f'{name}:={text} is no {kind.__name__}') from None
