"""A training that is stopped through the command line, at any instant and in any stage, loses nothing.

ASDVIDEO_KILLS=20 kills every stage twenty times instead of twice.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGES = ('judge', 'teacher', 'ar', 'paths', 'init', 'dmd', 'asd')
KILLS = int(os.environ.get('ASDVIDEO_KILLS', '2'))
pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='there are no such signals')


@pytest.fixture(scope='module')
def trials(tmp_path_factory):
    command = [sys.executable, str(Path(__file__).with_name('kills.py')), str(tmp_path_factory.mktemp('kills')), '3']
    done = subprocess.run(
        [*command, str(KILLS)], capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize('stage', STAGES)
def test_a_killed_training_ends_with_the_same_bits(trials, stage):
    found = trials[stage]
    assert found['codes'] == [0, 0, 0] and found['things'] > 5
    assert not found['differing'] and not found['left']


@pytest.mark.parametrize('stage', STAGES)
def test_a_stop_says_what_is_saved_and_how_to_go_on(trials, stage):
    polite = trials[stage]['ends'][:2]
    assert [name for name, _, _ in polite] == ['SIGINT', 'SIGTERM']
    what = 'shard' if stage == 'paths' else 'step'
    where = rf'stopped by SIG(INT|TERM) after {what} \d+ of \d+'
    wanted = rf'asdvideo: \w+: {where}; everything is saved\. The same command .*'
    for name, code, lines in polite:
        late = code == 0 and not lines          # the training was faster than the signal
        told = code == 130 and len(lines) == 1 and re.fullmatch(wanted, lines[0])
        assert late or told, (name, code, lines)


def test_most_signals_hit_a_training(trials):
    ends = [end for found in trials.values() for end in found['ends']]
    polite = [code for name, code, _ in ends if name != 'SIGKILL']
    killed = [code for name, code, _ in ends if name == 'SIGKILL']
    assert polite.count(130) >= len(polite) // 2 and killed.count(-9) >= len(killed) // 4
    assert set(killed) <= {-9, 0}


LONG = """
import sys, threading, torch
from asdvideo import commands
from asdvideo.cli import main
def nothing(*args, **more):
    return torch.zeros(1, 100_000, 1, 24, 24)
if sys.argv[1] == 'film':
    commands.generate = nothing
print('ready', flush=True)
sys.exit(main(['sample', '--frames', '100000', '--device', 'cpu', '--out', sys.argv[2]]))
"""


@pytest.mark.parametrize('work, name', (('videos', 'SIGINT'), ('film', 'SIGTERM')))
def test_a_long_video_stops_at_the_first_signal(tmp_path, work, name):
    "While it is made, and while its film is written: one line, nothing left, within seconds."
    command = [sys.executable, '-c', LONG, work, str(tmp_path/'a.mp4')]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert child.stdout.readline() == 'ready\n'
    time.sleep(4)
    child.send_signal(signal.Signals[name])
    try:
        _, said = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130 and said.count('\n') == 1 and said.startswith('asdvideo: stopped'), said
    assert not list(tmp_path.iterdir())
