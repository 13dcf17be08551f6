"Two processes make what one makes, plain or with split weights, and continue each other's work."
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import member

from asdvideo.errors import AsdError
from asdvideo.files import listing, load_tensors
from asdvideo.shards import load_split, read_header
from asdvideo.training import ProcessGroup, fit

CASES = [('dmd', 'plain'), ('asd', 'plain'), ('dmd', 'split'), ('asd', 'split'), ('wan', 'split')]
CASES += [('judge', 'plain'), ('teacher', 'plain'), ('teacher', 'split'), ('init', 'plain'), ('init', 'split')]


def launch(jobs, folder, processes=2):
    "Run jobs in two processes; their number and address are told as torchrun tells them."
    file = folder/'jobs.json'
    file.write_text(json.dumps(jobs))
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    common = {'WORLD_SIZE': str(processes), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
    started = []
    for rank in range(processes):
        env = {**os.environ, **common, 'RANK': str(rank), 'LOCAL_RANK': str(rank), 'CUDA_VISIBLE_DEVICES': ''}
        command = [sys.executable, str(Path(member.__file__)), str(file)]
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors[-3000:]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "All that two processes do, in two launches: train, begin what one continues, and continue what one began."
    place = tmp_path_factory.mktemp('distributed')
    first = [{'kind': kind, 'how': how, 'out': str(place/f'{kind}-{how}.safetensors')} for kind, how in CASES]
    for kind in ('asd', 'wan'):
        begun = {'kind': kind, 'how': 'split', 'folder': str(place/f'run-{kind}'), 'stop': 1}
        first.append({**begun, 'out': str(place/'x.safetensors')})
    first.append({'kind': 'start', 'how': 'split', 'out': str(place/'start.json')})
    launch(first, place)
    for kind in ('asd', 'wan'):
        pieces = [file.name for file in listing(place/f'run-{kind}')]
        (place/f'pieces-{kind}.json').write_text(json.dumps(pieces))
        job = {'kind': kind, 'folder': str(place/f'run-{kind}'), 'stop': 2, 'out': str(place/'y.safetensors')}
        member.run(job, ProcessGroup())
    launch([{
        'kind': kind, 'how': 'split', 'folder': str(place/f'run-{kind}'), 'out': str(place/f'{kind}-again.safetensors')
    } for kind in ('asd', 'wan')], place)
    return place


@pytest.fixture(scope='module')
def alone(place):
    "What one process makes, by kind and turns."
    made = {}

    def get(kind, turns=1):
        if (kind, turns) not in made:
            out = place/f'{kind}-alone{turns}.safetensors'
            member.run({'kind': kind, 'turns': turns, 'out': str(out)}, ProcessGroup())
            made[kind, turns] = out
        return made[kind, turns]
    return get


def assert_same(one, two):
    "Weights differ by less than a hundredth of their way; Adam moves a weight whose gradient is rounding, too."
    a, b = load_tensors(one)[0], load_tensors(two)[0]
    assert a.keys() == b.keys()
    way = member.LEARNER.lr * member.STEPS
    apart = {name: ((b[name] - a[name]).square().mean().sqrt() / way).item() for name in a}
    assert max(apart.values()) < .01, {name: share for name, share in apart.items() if share >= .01}
    for x, y in zip(*(json.loads(Path(file).with_suffix('.json').read_text()) for file in (one, two))):
        for name in x.keys() - {name for name in x if name.startswith(('cosine', 'ratio'))}:      # no means over videos
            assert y[name] == pytest.approx(x[name], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize('kind, how', CASES)
def test_two_are_one(place, alone, kind, how):
    assert_same(alone(kind), place/f'{kind}-{how}.safetensors')


@pytest.mark.parametrize('kind', ('dmd', 'asd', 'judge', 'teacher', 'init'))
def test_turns_are_processes(place, alone, kind):
    assert_same(alone(kind, 2), place/f'{kind}-plain.safetensors')


@pytest.mark.parametrize('kind', ('asd', 'wan'))
def test_split_then_one_then_split(place, alone, kind):
    assert_same(alone(kind), place/f'{kind}-again.safetensors')


@pytest.mark.parametrize('kind', ('asd', 'wan'))
def test_a_state_in_pieces(place, kind):
    "Two processes leave two files, each with about half of the numbers; one process leaves one."
    assert json.loads((place/f'pieces-{kind}.json').read_text()) == ['state-1-1.safetensors', 'state.safetensors']
    folder = place/f'run-{kind}'
    assert len(listing(folder)) == 2
    sizes = [sum(torch.Size(s).numel() for s in read_header(file)[1].values()) for file in listing(folder)]
    whole = sum(tensor.numel() for tensor in load_split(folder/'state.safetensors', {})[0].values())
    assert max(sizes) < .8 * whole


def test_no_process_ever_holds_the_whole_network(place):
    "At the start it holds its share, and beside it no more than one weight that is being handed out, and its parts."
    found = json.loads((place/'start.json').read_text())
    assert found['share'] < .6 * found['whole']
    assert found['share'] + found['largest'] <= found['peak'] <= found['share'] + 2.5 * found['largest']
    assert found['peak'] < .75 * found['whole']


def test_a_damaged_piece_is_refused(place):
    folder = place/'run-asd'
    piece = listing(folder)[0]
    content = bytearray(piece.read_bytes())
    content[-1] ^= 1
    piece.write_bytes(content)
    with pytest.raises(AsdError, match='altered'):
        load_split(folder/'state.safetensors', {})


def test_weights_move(alone):
    "The comparisons above would be empty if nothing were trained."
    weights = load_tensors(alone('asd'))[0]
    stage = member.small_stage('asd', 1, ProcessGroup())
    for name, learner in stage.learners.items():
        before = learner.model.state_dict()
        assert any((weights[f'{name}.model.{key}'] - p).abs().max() > 1e-3 for key, p in before.items())


def test_processes_that_disagree():
    from asdvideo.distributed import Processes
    group = object.__new__(Processes)
    group.rank, group.everyone = 0, lambda config: [config, {**config, 'settings': {'lr': 7.}}]
    with pytest.raises(AsdError, match='settings.lr: 1.0 then, 7.0 now'):
        group.check({'settings': {'lr': 1.}})


def test_stop_is_shared(tmp_path):
    "A training stops, saved, if any process was asked to."
    from asdvideo.stopping import Stopped

    class Asked(ProcessGroup):
        "Process 1 was asked to stop: the answers after a step, about the state, and after the last save."
        answers = [(True, False), (False,), (True,)]

        def any(self, *flags):
            return self.answers.pop(0)

    stage = member.small_stage('dmd', 1, Asked())
    with pytest.raises(Stopped, match='another process'):
        fit(stage, tmp_path, quiet=True)
    assert read_header(tmp_path/'state.safetensors')[0]['record']['done'] == 1
