"Bad input gets one clear error: the value, what is allowed, the remedy. Nothing half-written stays behind."
import os, re, subprocess, sys
from pathlib import Path

import pytest
import torch

from asdvideo.cli import main
from asdvideo.core import data_path, load_tensors, replacing, save_json, save_tensors
from asdvideo.data import MovingDigits, label_id
from asdvideo.dit import DiT
from asdvideo.ffe import named_schedule
from asdvideo.flow import add_noise, draw_sigma, n_steps, sigma_grid, step_list
from asdvideo.judge import Judge
from asdvideo.rollout import Noise, rollout
from asdvideo.teacher import TeacherStage
from asdvideo.train import fit, load_network, publish
from asdvideo.viz import write_mp4

NET = DiT(patch=8, width=16, depth=1, heads=1, chunk=2)
NOISE = Noise((1, 4, 1, 16, 16), 0, 2)
CASES = {
    'label': (lambda: label_id('7,north'), r"'7,north'.*right, left, up, down"),
    'steps name': (lambda: named_schedule('5', step_list(4), 2), r"'5'.*1 to 4.*For example"),
    'steps number': (lambda: n_steps(step_list(4), 0), r'n=0.*1 to 4'),
    'Euler steps': (lambda: sigma_grid(0), r'steps=0.*from 1'),
    'rising schedule': (lambda: rollout(NET, NOISE, [[1., .5], [.5, 1.]]), r'\[0.5, 1.0\].*fall strictly'),
    'schedule outside': (lambda: rollout(NET, NOISE, [[1., -.1]] * 2), r'-0.1.*\(0, 1\]'),
    'sigma per video': (lambda: add_noise(torch.zeros(1, 4, 1, 8, 8), torch.zeros(1, 4, 1, 8, 8), torch.zeros(1)), r'\(1,\).*one level per frame'),
    'odd size': (lambda: MovingDigits(size=25), r'size=25.*even'),
    'frames and chunks': (lambda: Noise((1, 5, 1, 8, 8), 0, 2), r'frames=5 with chunk=2.*Choose'),
    'patches': (lambda: NET(torch.zeros(1, 2, 1, 12, 12), torch.ones(1, 2)), r'\(1, 2, 1, 12, 12\).*multiples of 8'),
    'channels': (lambda: NET(torch.zeros(1, 2, 3, 16, 16), torch.ones(1, 2)), r'\(1, 2, 3, 16, 16\).*\(b, f, 1'),
    'part': (lambda: MovingDigits('training'), r"'training'.*train, judge, test"),
    'movie name': (lambda: write_mp4('x.gif', torch.zeros(2, 1, 8, 8)), r'x.gif.*\.mp4'),
    'judge size': (lambda: Judge(24)(torch.zeros(1, 8, 1, 32, 32)), r'32, 32.*24 pixels'),
}


@pytest.mark.parametrize('case', CASES)
def test_bad_value(case):
    call, pattern = CASES[case]
    with pytest.raises(ValueError, match=pattern) as e: call()
    assert '\n' not in str(e.value)


@pytest.fixture
def weights(tmp_path): return save_tensors(tmp_path/'net.safetensors', NET.state_dict(), {'network': NET.config})


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.safetensors.*asdvideo reproduce'): load_network(tmp_path/'none.safetensors')


@pytest.mark.parametrize('keep', (0, 7, 8, 100, .5, .999))
def test_truncated_checkpoint(weights, keep):
    raw = weights.read_bytes()
    weights.write_bytes(raw[:int(keep * len(raw)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match='net.safetensors: not a whole safetensors file.*asdvideo reproduce'): load_network(weights)


def test_altered_checkpoint(weights):
    raw = bytearray(weights.read_bytes()); raw[-3] ^= 4
    weights.write_bytes(bytes(raw))
    with pytest.raises(ValueError, match='altered'): load_network(weights)


def test_foreign_checkpoint(tmp_path):
    save_tensors(tmp_path/'other.safetensors', {'x': torch.zeros(1)}, {'network': NET.config})
    with pytest.raises(ValueError, match='weights of another network'): load_network(tmp_path/'other.safetensors')


def test_a_pickle_is_not_loaded(tmp_path):
    torch.save({'x': torch.zeros(1)}, tmp_path/'p.safetensors')
    with pytest.raises(ValueError, match='not a whole safetensors file'): load_tensors(tmp_path/'p.safetensors')


def test_nothing_half_written(tmp_path):
    with pytest.raises(RuntimeError):
        with replacing(tmp_path/'a.txt') as tmp:
            tmp.write_text('half')
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path/'file').write_text('')
    with pytest.raises(OSError, match='could not be written.*choose a folder'): save_json(tmp_path/'file'/'a.json', {})


def small_disk(path):
    "A file system of 64 KiB on `path`, or skip where that is not allowed."
    path.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(path)], capture_output=True).returncode: pytest.skip('may not mount')
    return path


def test_full_disk(tmp_path):
    disk = small_disk(tmp_path/'disk')
    try:
        save_json(disk/'a.json', {'old': 1})
        with pytest.raises(OSError, match='could not be written.*Free some space'): save_tensors(disk/'w.safetensors', {'w': torch.zeros(1 << 20)}, {})
        with pytest.raises(OSError, match='could not be written'): save_json(disk/'a.json', list(range(100000)))
        assert [p.name for p in disk.iterdir()] == ['a.json'] and '"old": 1' in (disk/'a.json').read_text()
    finally: subprocess.run(['umount', str(disk)])


@pytest.mark.parametrize('argv, says', [
    (['sample', '--label', '7,north'], "label '7,north'"),
    (['sample', '--steps', '9'], "steps '9'"),
    (['sample', '--out', 'x.avi'], '--out x.avi'),
    (['sample', '--device', 'tpu'], "device 'tpu'"),
    (['sample', '--checkpoint', 'teacher', '--steps', '1*'], "steps '1*'"),
    (['train', 'judge', '--set', 'depth'], '--set depth'),
    (['train', 'judge', '--set', 'colour=3'], 'settings colour'),
    (['train', 'wan-dmd', '--preset', 'cuda'], '--preset cuda'),
    (['evaluate', '--n', '1'], 'n=1: expected at least 256'),
    (['toy', '--set', 'nonsense=3'], 'settings nonsense'),
    (['toy', '--set', 'steps=abc'], "setting steps='abc'"),
    (['toy', '--set', 'lr=nan'], "setting lr='nan'"),
    (['toy', '--set', 'name=kicks'], '--set name=kicks'),
    (['toy', '--set', 'depth=two'], "setting depth='two'"),
    (['toy', '--seeds', '0'], 'no seeds: expected at least one'),
    (['toy', '--json', '/proc/a.json'], '/proc/a.json: could not be written'),
    (['train', 'teacher', '--set', 'steps=0'], 'steps=0: expected'),
    (['train', 'teacher', '--set', 'lr=-1'], 'lr=-1: expected'),
    (['train', 'teacher', '--set', 'shift=-3'], 'shift=-3: expected'),
    (['train', 'teacher', '--turns', '0'], 'turns=0: expected at least 1'),
    (['train', 'dmd', '--preset', 'cuda'], 'expected that of the networks it starts from'),
    (['train', 'paths', '--set', 'count=300'], 'count=300: expected a multiple of 256'),
    (['train', 'paths', '--set', 'nonsense=3'], 'settings nonsense'),
    (['train', 'paths', '--set', 'count=abc'], "setting count='abc'"),
    (['plan', '--chunk', '0'], 'chunk=0'),
    (['plan', '--memory', 'nan'], 'memory=nan'),
    (['sample', '--guidance', '9'], '--guidance 9.0'),
    (['sample', '--checkpoint', 'teacher', '--guidance', 'nan'], '--guidance nan'),
    (['sample', '--checkpoint', str(data_path('weights', 'judge.safetensors'))], 'weights of another kind of network than DiT'),
])
def test_command_line_says_one_line(argv, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith('asdvideo: ') and says in err and err.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_import_needs_neither_nbdev_nor_widgets():
    code = ("import sys\nclass No:\n  def find_spec(self, name, *a):\n    if name.split('.')[0] in ('nbdev', 'fastcore', 'execnb', 'ipywidgets', 'IPython'): raise ImportError(name)\n"
            "sys.meta_path.insert(0, No())\nimport pkgutil, importlib, asdvideo\n"
            "for m in pkgutil.iter_modules(asdvideo.__path__):\n  if not m.name.startswith('_'): importlib.import_module('asdvideo.' + m.name)\nprint('ok')")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.stdout.strip() == 'ok', done.stderr


def test_everyone_saves_when_one_wants_to(tmp_path, monkeypatch):
    "Clocks of processes differ, and a save takes all: the decision is made together."
    from asdvideo import train
    class Other(train.Team):
        def agree(self, logs): return {**logs, 'due': .5}        # another process has waited long enough
    saves = []
    for team, expected in ((train.Team(), 1), (Other(), 4)):
        saves.clear()
        monkeypatch.setattr(train, 'save_tensors', lambda *a: saves.append(a))
        stage = TeacherStage(preset=train.Preset(size=16, frames=2, width=16, depth=1, heads=1), batch=2, steps=3, device='cpu', team=team)
        record = train.fit(stage, tmp_path, log_every=1, save_seconds=1e9, quiet=True)
        assert len(saves) == expected and not any('due' in row for row in record['history'])
