"The command line, end to end on the shipped weights and on a tiny chain of its own."
import json, shutil
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch

from asdvideo import core
from asdvideo.chain import CHECKPOINTS, gate, load
from asdvideo.cli import main
from asdvideo.core import ROOT, data_path, load_tensors
from asdvideo.ffe import STEP_NAMES

TINY = [f'--set={s}' for s in ('size=16', 'frames=4', 'width=16', 'depth=2', 'heads=1')]


@pytest.mark.parametrize('checkpoint, steps', [('teacher', '4'), *[('dmd', s) for s in STEP_NAMES], *[('asd', s) for s in STEP_NAMES], ('init', '2')])
def test_sample(checkpoint, steps, tmp_path, capsys):
    out = tmp_path/'new folder'/'x.mp4'
    assert main(['sample', '--checkpoint', checkpoint, '--steps', steps, '--label', '7,right', '3,left', '--out', str(out), '--device', 'cpu']) == 0
    film = iio.imread(out, plugin='FFMPEG')
    assert film.shape[0] == 8 and film.std() > 5
    assert str(out) in capsys.readouterr().out


def test_sample_repeats_itself(tmp_path):
    for name in 'ab': main(['sample', '--steps', '2', '--out', str(tmp_path/f'{name}.png'), '--device', 'cpu'])
    main(['sample', '--steps', '2', '--seed', '1', '--out', str(tmp_path/'c.png'), '--device', 'cpu'])
    a, b, c = ((tmp_path/f'{n}.png').read_bytes() for n in 'abc')
    assert a == b != c


@pytest.mark.parametrize('how', ([], ['--arm', 'asd', '--seeds', '2'], ['--arm', 'cond-score', '--world', 'kicks', '--retrain', '2']), ids=('dmd', 'asd', 'one'))
def test_toy(how, tmp_path, capsys):
    command = ['toy', '--seed', '5', *how, *(f'--set={s}' for s in ('starting=3', 'steps=4', 'batch=8', 'critic_warmup=1', 'critic_updates=1')), '--out', str(tmp_path)]
    assert main([*command, '--json', str(tmp_path/'a.json'), '--points', str(tmp_path/'a.safetensors')]) == 0
    text, result = capsys.readouterr().out, json.loads((tmp_path/'a.json').read_text())
    names = {r['steps'] for r in result['rows']}
    assert names == ({'2', '2*'} if '--retrain' in how else {*STEP_NAMES, 'mix'})
    assert {r['seed'] for r in result['rows']} == ({5, 6} if '--seeds' in how else {5}) and all(name in text for name in names)
    assert load_tensors(tmp_path/'a.safetensors')[0]['points'].shape[1] == len(result['names'])
    assert iio.imread(next(tmp_path.glob('*.png'))).std() > 5
    if not how:
        assert main([*command, '--json', '-']) == 0
        assert json.loads(capsys.readouterr().out)['rows'] == result['rows'], 'the same seed gave other numbers'


def test_toy_refuses_nonsense(capsys):
    assert main(['toy', '--retrain', '7']) == 2
    assert 'retrain=7' in capsys.readouterr().err


def test_evaluate(capsys):
    assert main(['evaluate', '--checkpoint', 'dmd', '--steps', '1', '--n', '256', '--json', '-', '--device', 'cpu']) == 0
    row = json.loads(capsys.readouterr().out)
    assert row['checkpoint'] == 'dmd' and row['steps'] == '1' and row['n'] == 256
    assert 0 <= row['digit'] <= 1 and row['frechet'] > 0 and len(row['frechet_frames']) == 8
    assert row['provenance']['seed'] == 1000 and row['weights'] == load('dmd', 'cpu').meta['sha256'][:12]


def test_gallery(tmp_path):
    assert main(['gallery', '--out', str(tmp_path), '--device', 'cpu']) == 0
    films = {p.stem for p in tmp_path.glob('*.mp4')}
    assert films == {p.stem for p in tmp_path.glob('*.png')} and len(films) == 13


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    "A data folder of one's own, with the digits and nothing else."
    monkeypatch.setenv('ASDVIDEO_DATA', str(tmp_path/'data'))
    (tmp_path/'data').mkdir(); shutil.copy(ROOT/'data'/'digits.npz', tmp_path/'data')
    from asdvideo.data import load_digits
    load_digits.cache_clear()
    yield tmp_path
    load_digits.cache_clear()


def test_a_chain_of_ones_own(own_data):
    def train(stage, *more): assert main(['train', stage, '--device', 'cpu', *TINY, *more]) == 0
    train('judge', '--set=steps=3', '--set=batch=4')
    train('teacher', '--set=steps=3', '--set=batch=4')
    train('paths', '--set=count=256', '--set=steps=4')
    train('ar', '--set=steps=2', '--set=batch=4')
    train('paths', '--set=count=256', '--set=steps=4', '--set=forced=true')
    train('init', '--set=steps=2', '--set=batch=4', '--set=forced=true', '--folder', str(own_data/'forced'), '--out', str(own_data/'forced'))
    train('init', '--set=steps=3', '--set=batch=4')
    for stage in ('dmd', 'asd'): train(stage, '--set=steps=2', '--set=batch=4', '--set=critic_warmup=1', '--set=critic_updates=1')
    files = {p.name for p in (own_data/'data'/'weights').iterdir()}
    assert files == {f'{n}.safetensors' for n in ('judge', 'teacher', 'ar', 'init', 'dmd', 'dmd_fake', 'asd', 'asd_fake', 'asd_head')}
    assert load('asd', 'cpu').config['chunk'] == 2
    assert main(['sample', '--checkpoint', 'asd', '--steps', '1*', '--out', str(own_data/'x.mp4'), '--device', 'cpu']) == 0
    assert main(['sample', '--checkpoint', str(own_data/'forced'/'init.safetensors'), '--steps', '2', '--out', str(own_data/'y.mp4'), '--device', 'cpu']) == 0
    train('teacher', '--set=steps=5', '--set=batch=4', '--no-resume')                      # another teacher:
    assert main(['train', 'dmd', '--device', 'cpu', *TINY, '--set=steps=2', '--set=batch=4', '--set=critic_warmup=1', '--set=critic_updates=1']) == 2    # the old run is not continued
    assert main(['train', 'paths', '--device', 'cpu', *TINY, '--set=count=256', '--set=steps=4']) == 2                         # nor are old paths mixed with new ones


def test_a_trial_does_not_replace_what_is_shipped(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv('ASDVIDEO_DATA', raising=False)
    (tmp_path/'data').mkdir(); (tmp_path/'data'/'digits.npz').symlink_to(data_path('digits.npz'))
    monkeypatch.setattr(core, 'ROOT', tmp_path)          # so that a mistake could not harm the real ones
    assert main(['train', 'teacher', '--device', 'cpu', *TINY, '--set=batch=4', '--set=steps=2', '--folder', str(tmp_path/'run')]) == 0
    assert f'wrote {tmp_path/"run"/"weights"/"teacher.safetensors"}' in capsys.readouterr().out
    assert not (tmp_path/'data'/'weights').exists()


def test_train_resumes_and_restarts(own_data, capsys):
    argv = ['train', 'teacher', '--device', 'cpu', *TINY, '--set=batch=4']
    assert main([*argv, '--set=steps=4']) == 0
    first = load_tensors(own_data/'data'/'weights'/'teacher.safetensors')[1]['sha256']
    assert main([*argv, '--set=steps=4']) == 0          # nothing left to do
    assert load_tensors(own_data/'data'/'weights'/'teacher.safetensors')[1]['sha256'] == first
    capsys.readouterr()
    assert main([*argv, '--set=steps=6']) == 2          # another configuration
    assert 'steps: 4 then, 6 now' in capsys.readouterr().err
    assert main([*argv, '--set=steps=6', '--no-resume']) == 0


def test_gates():
    row = lambda c, s, d: {'checkpoint': c, 'steps': s, 'digit': d, 'direction': 1.}
    met = gate([row('real', 'test', .94), row('teacher', '32', .93), row('dmd', '4', .89), row('asd', '4', .87)])
    assert {k: ok for k, (_, _, ok) in met.items() if 'digit' in k} == {
        'judge, digit of real test clips': False, 'teacher, digit': True, 'dmd at 4 steps, digit': True, 'asd at 4 steps, digit': False}


def test_shipped_weights_are_small_and_described():
    files = list((ROOT/'data'/'weights').glob('*.safetensors'))
    assert len(files) >= 8 and sum(f.stat().st_size for f in files) < 30e6
    for f in files:
        tensors, meta = load_tensors(f)
        assert f.stat().st_size < 5e6 and all(t.dtype in (torch.float16, torch.int64) for t in tensors.values())
        assert meta['record']['done'] == meta['config']['steps'] and meta['record']['history'] and meta['provenance']['torch']
