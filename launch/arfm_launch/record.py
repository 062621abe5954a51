"""Recording with ros2 bag."""

import glob
import json
import os
import struct
import time

from launch.actions import ExecuteProcess
import yaml

# Greatest header of a checkpoint that is read here, bytes.
MAX_HEADER = 100 << 20


def recorder(context):
    """Record what the argument `record` asks for; see bringup.launch.py."""
    given = context.launch_configurations
    if not given['record']:
        return []
    prefix = '/'.join(['', *filter(None, [given['namespace'].strip('/'), 'policy_node'])])
    topics = {*_topics(_contract(given)), prefix + '/action_chunk', '/arfm/reward',
              '/arfm/episode'}
    os.makedirs(given['record'], exist_ok=True)
    bag = os.path.join(given['record'], time.strftime('arfm_%Y%m%d_%H%M%S'))
    # What is split off can be trained on while recording goes on.
    return [ExecuteProcess(
        cmd=['ros2', 'bag', 'record', '--storage', 'mcap', '--max-bag-duration', '60',
             *(['--use-sim-time'] if given['use_sim_time'] == 'true' else []),
             '--output', bag, *sorted(topics)],
        name='recorder', output='screen')]


def _contract(given):
    """Read the contract that is in force, as YAML text."""
    if given['contract']:
        with open(given['contract'], encoding='utf-8') as file:
            return file.read()
    files = glob.glob(os.path.join(given['checkpoint_dir'] or os.devnull, '*.safetensors'))
    if not files:
        raise RuntimeError('record: which topics? Name the contract with contract:=FILE, or a '
                           'checkpoint_dir that holds a checkpoint')
    newest = max(files, key=os.path.getmtime)
    with open(newest, 'rb') as file:
        try:
            size, = struct.unpack('<Q', file.read(8))
            return json.loads(file.read(min(size, MAX_HEADER)))['__metadata__']['contract']
        except (struct.error, ValueError, KeyError, TypeError) as err:
            raise RuntimeError(f'record: {newest} is no checkpoint of arfm') from err


def _topics(text):
    """List the topics that a contract names."""
    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get('topic'), str):
                yield value['topic']
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from walk(item)
    return walk(yaml.safe_load(text))
