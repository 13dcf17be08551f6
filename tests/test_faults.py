"Power cuts, full disks, damaged files, two processes in one folder, ruined trainings: what is said, and what is kept."

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from asdvideo.causal import causal, trainable
from asdvideo.checkpoints import build_network, describe_network, load_network, publish
from asdvideo.denoiser import CausalLayout
from asdvideo.digits import DigitsSettings, SteeredDigits
from asdvideo.errors import AsdError
from asdvideo.files import (
    content_hash,
    listing,
    load_tensors,
    locked,
    replacing_folder,
    save_json,
    save_tensors,
    writable,
)
from asdvideo.initialisation import Paths, PathSettings, record_paths
from asdvideo.recipes import fresh_network, tiny
from asdvideo.schedule import StepList
from asdvideo.settings import changed
from asdvideo.teacher import TeacherStage
from asdvideo.training import fit
from asdvideo.wan.training import Prompts, embed_prompts

SMALL = tiny()
WORLD = SteeredDigits(DigitsSettings(size=16, frames=4))
PATHS = PathSettings(count=4, shard=2, steps=4)


def stage(steps: int = 4, **learner: Any) -> TeacherStage:
    "A tiny training."
    own = dataclasses.replace(SMALL.teacher.learner, **learner)
    return TeacherStage(changed(SMALL.teacher, steps=steps, learner=own), trainable(fresh_network(SMALL)), WORLD)


def quick(folder: Path | None, **how: Any) -> dict:
    "Train it, or a part of it."
    return fit(how.pop('stage', None) or stage(), folder, **{'quiet': True, 'log_every': 2, **how})


def rewrite(path: Path, change: Any) -> None:
    "Change the description of a file, and make its hash right again."
    tensors, description = load_tensors(path)
    change(tensors, description)
    description['sha256'] = content_hash(tensors, description)
    save_file(tensors, path, {'asdvideo': json.dumps(description)})


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return publish(causal(fresh_network(SMALL), CausalLayout(2)), tmp_path/'net.safetensors')


# 1. parts that a killed process has left


def test_parts_are_no_data(tmp_path):
    teacher = fresh_network(SMALL).eval()
    folder = record_paths(teacher, WORLD, StepList(4), PATHS, tmp_path/'paths', 'here', quiet=True)
    texts = embed_prompts(lambda some: torch.ones(len(some), 2, 3), ['a', 'b'], tmp_path/'texts', quiet=True)
    paths, prompts = Paths(folder).count, len(Prompts(texts))
    for place in (folder, texts):
        whole = listing(place)[0].read_bytes()
        for name in ('.00000.safetensors.x1.part', '.0000.4242.part.safetensors'):
            (place/name).write_bytes(whole)
    assert Paths(folder).count == paths == 4 and len(Prompts(texts)) == prompts == 2
    with locked(folder):
        assert [path.name for path in folder.glob('.*part')] == []


# 2. weights that are no numbers


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_ruined_averages_are_not_saved(tmp_path, value):
    one = stage()
    quick(tmp_path, stage=one, stop_after=2)
    before = (tmp_path/'state.safetensors').read_bytes()
    next(one.net.average.parameters()).data[0] = value
    with pytest.raises(AsdError, match='not finite'):
        quick(tmp_path, stage=Ruined(one, value))
    assert (tmp_path/'state.safetensors').read_bytes() == before


class Ruined(TeacherStage):
    "A training whose running average is spoilt in its next step."

    def __init__(self, other: TeacherStage, value: float) -> None:
        super().__init__(other.settings, trainable(fresh_network(SMALL)), WORLD)
        self.value = value

    def train_step(self, step: int) -> dict:
        logs = super().train_step(step)
        next(self.net.average.parameters()).data[0] = self.value
        return logs


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e5])
def test_weights_that_fp16_cannot_hold_are_not_published(tmp_path, value):
    net = fresh_network(SMALL)
    next(net.parameters()).data.view(-1)[0] = value
    with pytest.raises(AsdError, match='finite numbers'):
        publish(net, tmp_path/'net.safetensors')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'change',
    [
        lambda x: x.fill_(float('nan')),
        lambda x: x.fill_(float('inf')),
        lambda x: x.to(torch.int8),
        lambda x: x.bool(),
        lambda x: x.to(torch.complex64),
        lambda x: x.to(torch.float8_e4m3fn),
        lambda x: x.double(),
        lambda x: x[:1],
    ],
)
def test_weights_of_another_kind_are_not_loaded(network, change):
    def spoil(tensors: dict, description: dict) -> None:
        name = sorted(tensors)[0]
        tensors[name] = change(tensors[name].clone()).contiguous()

    rewrite(network, spoil)
    with pytest.raises(AsdError, match='net.safetensors'):
        load_network(network)


# 3. one owner for a folder


def test_two_processes_do_not_share_a_folder(tmp_path):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.write(write, b'!')
            signal.pause()
    os.read(read, 1)
    try:
        with pytest.raises(AsdError, match='another process works there'):
            quick(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert quick(tmp_path)['done'] == 4, 'the lock ends with its process, however that ends'


# 4. a full disk


def test_a_full_disk_is_told_before_the_work_and_keeps_the_last_state(tmp_path):
    quick(tmp_path, stop_after=2)
    before = (tmp_path/'state.safetensors').read_bytes()
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
        with pytest.raises(AsdError, match='Free some space'):
            writable(tmp_path/'result.json')
        with pytest.raises(AsdError, match='Free some space'):
            save_tensors(tmp_path/'state.safetensors', {'a': torch.ones(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path/'state.safetensors').read_bytes() == before
    assert not list(tmp_path.glob('.*.part')) and quick(tmp_path)['done'] == 4


# 5. a training that explodes


def test_what_is_said_about_an_explosion_is_true(tmp_path):
    with pytest.raises(AsdError, match='restart') as caught:
        quick(tmp_path, stage=stage(40, lr=1e9, warmup=0), save_seconds=0)
    assert 'untouched' not in str(caught.value)
    assert quick(tmp_path, stage=stage(2), restart=True)['done'] == 2


# 6. stops, and files that are replaced


def test_a_stop_leaves_no_trace_in_the_history(tmp_path):
    whole = quick(None)['history']
    quick(tmp_path, stop_after=1)
    quick(tmp_path, stop_after=3)
    assert quick(tmp_path)['history'] == whole and len(whole) == 2


def test_a_file_may_be_replaced_while_its_tensors_are_used(tmp_path):
    path = save_tensors(tmp_path/'a.safetensors', {'a': torch.ones(100_000)}, {})
    tensors, _ = load_tensors(path)
    path.write_bytes(b'')
    assert tensors['a'].sum() == 100_000


# 7. the number of threads


def test_another_number_of_threads_is_another_training(tmp_path):
    quick(tmp_path, stop_after=2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(AsdError, match='threads'):
            quick(tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert quick(tmp_path)['done'] == 4


# 8. descriptions


def test_every_flipped_bit_is_told(network):
    whole = bytearray(network.read_bytes())
    for place in (*range(9), *range(9, 4000, 61), *range(4000, len(whole), 4999)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        network.write_bytes(spoilt)
        with pytest.raises(AsdError, match='net.safetensors'):
            load_network(network)
            pytest.fail(f'bit {place % 8} of byte {place} was not noticed')


WRONG = {
    'heads': 0,
    'width': 400_000,
    'depth': 1_000_000,
    'size': 17,
    'labels': 'x',
    'floor': None,
    'patch': float('nan'),
}


@pytest.mark.parametrize('name', WRONG)
def test_descriptions_of_impossible_networks(name):
    good = describe_network(fresh_network(SMALL))
    with pytest.raises(AsdError):
        build_network({**good, 'config': {**good['config'], name: WRONG[name]}})


@pytest.mark.parametrize(
    'change',
    [
        {'kind': 'x'},
        {'kind': None},
        {'config': None},
        {'config': {}},
        {'config': []},
        {'layout': None},
        {'layout': []},
        {'layout': {'chunk': 0}},
        {'layout': {'chunk': 2, 'more': 1}},
        {'config': {'preset': 'odd'}},
    ],
)
def test_descriptions_that_are_none(network, change):
    rewrite(network, lambda tensors, description: description['network'].update(change))
    with pytest.raises(AsdError):
        load_network(network)


@pytest.mark.parametrize(
    'change',
    [
        lambda d: d.pop('record'),
        lambda d: d.pop('skeleton'),
        lambda d: d.pop('config'),
        lambda d: d.pop('threads'),
        lambda d: d['record'].update(done=999),
        lambda d: d['record'].update(done=-3),
        lambda d: d['record'].update(done='2'),
        lambda d: d['record'].update(window=3),
        lambda d: d['record'].update(history=None),
        lambda d: d['record'].pop('seconds'),
        lambda d: d.update(config=[]),
        lambda d: d.update(record=[]),
        lambda d: d.update(skeleton={'dict': []}),
        lambda d: d.update(skeleton=3),
    ],
)
def test_states_that_are_none(tmp_path, change):
    quick(tmp_path, stop_after=1)
    rewrite(tmp_path/'state.safetensors', lambda tensors, description: change(description))
    with pytest.raises(AsdError, match='state.safetensors|settings it was started with'):
        quick(tmp_path)


def test_a_state_without_one_tensor(tmp_path):
    quick(tmp_path, stop_after=1)
    rewrite(tmp_path/'state.safetensors', lambda tensors, description: tensors.pop(sorted(tensors)[3]))
    with pytest.raises(AsdError, match='not the state of this training'):
        quick(tmp_path)


# 9. faults of our own and of torch


def test_faults_of_torch_keep_their_traceback():
    one = stage()
    one.net.model.blocks[0].up = torch.nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match='mat1 and mat2'):
        one.train_step(0)


def test_the_name_of_a_new_file_is_written_to_the_disk(tmp_path, monkeypatch):
    "After a loss of power a file is there under its name: file and folder are both synchronised."
    kinds, sync = [], os.fsync

    def noted(handle: int) -> None:
        kinds.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        sync(handle)

    monkeypatch.setattr(os, 'fsync', noted)
    save_json(tmp_path/'a.json', {})
    assert kinds == [False, True]


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='there are no such devices')
@pytest.mark.parametrize('path', ('/dev/full', '/dev/null', '/proc/x.json', '/proc/self/mem', '/dev/full/x.json'))
def test_devices_are_no_files(path):
    "A file that is replaced must not be a device: a root user would lose it."
    before = Path('/dev/full').lstat().st_mode
    for write in (writable, lambda path: save_json(path, {}), lambda path: save_tensors(path, {}, {})):
        with pytest.raises(AsdError, match=r'expected|could not be written'):
            write(path)
    assert Path('/dev/full').lstat().st_mode == before and stat.S_ISCHR(before)


def test_a_disk_without_room_is_told_before_the_work(tmp_path, monkeypatch):
    "The size of states and paths is known before the first step."
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr('asdvideo.files.shutil.disk_usage', lambda path: usage._replace(free=2000))
    assert writable(tmp_path/'a', 1999) and writable(tmp_path/'a')
    with pytest.raises(AsdError, match='which are free'):
        writable(tmp_path/'a', 2001)
    with pytest.raises(AsdError, match='which are free'):
        save_tensors(tmp_path/'a.safetensors', {'x': torch.zeros(1000)}, {})
    began = stage()
    monkeypatch.setattr(began, 'train_step', None)
    with pytest.raises(AsdError, match='which are free'):
        quick(tmp_path/'run', stage=began)
    net = causal(fresh_network(SMALL), CausalLayout(2))
    with pytest.raises(AsdError, match='which are free'):
        record_paths(net, WORLD, StepList(4), changed(PATHS, count=400), tmp_path/'paths', 'x', quiet=True)
    assert not list(tmp_path.rglob('*.safetensors'))


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    place = tmp_path/'model'
    with replacing_folder(place) as part:
        (part/'a').write_text('1')
        (part/'b').write_text('1')
    with pytest.raises(RuntimeError), replacing_folder(place) as part:
        (part/'a').write_text('2')
        raise RuntimeError
    assert sorted(file.name for file in place.iterdir()) == ['a', 'b'] and (place/'a').read_text() == '1'
    with replacing_folder(place) as part:
        (part/'a').write_text('3')
    assert [file.name for file in place.iterdir()] == ['a'] and [file.name for file in tmp_path.iterdir()] == ['model']
    with pytest.raises(AsdError, match='could not be written'), replacing_folder('/proc/x/model'):
        pass
