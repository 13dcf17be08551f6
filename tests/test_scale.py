"Two processes make what one makes, plain or with split weights, and continue each other's work."
import ctypes, json, os, subprocess, sys
from pathlib import Path

import pytest
import torch

from asdvideo.core import load_tensors

MEMBER = Path(__file__).parent/'member.py'
LAUNCH = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']


def launch(how, *args):
    start = [sys.executable] if how.startswith('alone') else LAUNCH
    return subprocess.run([*start, str(MEMBER), *map(str, args)], capture_output=True, text=True)


@pytest.fixture(scope='module')
def train(tmp_path_factory):
    place = tmp_path_factory.mktemp('scale')
    def run(how, folder='', stop=6, name=None):
        out = place/(name or f'{how}{stop}')
        done = launch(how, out, place/folder if folder else '', how, stop)
        assert done.returncode == 0, done.stderr[-3000:]
        tensors, meta = load_tensors(out)
        return tensors, meta['history']
    return run


@pytest.fixture(scope='module')
def alone(train):
    made = {}
    return lambda how: made.setdefault(how, train(how))


def apart(a, b):
    assert a[0].keys() == b[0].keys() and len(a[1]) == len(b[1])
    for x, y in zip(a[1], b[1]):
        for k in x:
            if 'loss' in k or k.startswith('asd_'): assert y[k] == pytest.approx(x[k], rel=6e-5), k      # histories have five digits
    return max((a[0][k] - b[0][k]).abs().max().item() for k in a[0])


@pytest.mark.parametrize('how, one', (('together', 'alone'), ('split', 'alone'), ('split-wan', 'alone-wan')))
def test_two_are_one(train, alone, how, one):
    assert apart(alone(one), train(how)) < 1e-5


@pytest.mark.parametrize('first, second', (('split', 'alone'), ('alone', 'split'), ('together', 'split'), ('split-wan', 'alone-wan')))
def test_one_continues_what_two_began(train, alone, first, second):
    folder, one = f'{first}-{second}', alone('alone-wan' if 'wan' in first else 'alone')
    early, _ = train(first, folder, 3, f'{folder}-3')
    assert any(not torch.equal(early[k], one[0][k]) for k in early)
    assert apart(one, train(second, folder, 6, f'{folder}-6')) < 1e-5


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallinfo2'), reason='reads the account of glibc\'s allocator')
def test_a_share_needs_what_is_planned(tmp_path):
    done = subprocess.run([*LAUNCH, str(MEMBER.with_name('measure.py')), str(tmp_path/'x.json')], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for case, rows in json.loads((tmp_path/'x.json').read_text())['MB'].items():
        for name, (planned, measured) in rows.items(): assert measured == pytest.approx(planned, rel=.1), f'{case}, {name}'


def test_processes_that_disagree(tmp_path):
    done = launch('together', tmp_path/'x', '', 'together', 6, 'lr=7.')
    assert done.returncode != 0 and 'lr: ' in done.stderr and 'expected the same settings in all processes' in done.stderr


def test_wan_from_prompts_to_a_student(tmp_path, capsys):
    "embed, train wan-asd, and the student in a pipeline again: the command line on tiny random components."
    from asdvideo.cli import main
    from asdvideo.pipeline import CausalWanPipeline, tiny_wan_pipeline
    from diffusers import WanTransformer3DModel
    tiny_wan_pipeline().save_pretrained(tmp_path/'model')
    (tmp_path/'prompts.txt').write_text('a corgi\n\nthe snow at dusk\n')
    assert main(['embed', '--prompts', str(tmp_path/'prompts.txt'), '--model', str(tmp_path/'model'), '--out', str(tmp_path/'texts'), '--device', 'cpu']) == 0
    small = [f'--set={s}' for s in ('frames=3', 'rows=4', 'cols=4', 'batch=2', 'steps=2', 'critic_warmup=0', 'critic_updates=1', 'lr=1e-3', f'model={tmp_path/"model"}', 'lora=2')]
    assert main(['train', 'wan-asd', '--texts', str(tmp_path/'texts'), '--folder', str(tmp_path/'run'), '--out', str(tmp_path/'out'), '--device', 'cpu', *small]) == 0
    assert str(tmp_path/'out'/'transformer') in capsys.readouterr().out
    pipe = CausalWanPipeline.from_pretrained(tmp_path/'model', transformer=WanTransformer3DModel.from_pretrained(tmp_path/'out'/'transformer'))
    loaded = tiny_wan_pipeline().load_student(tmp_path/'out'/'transformer').transformer
    assert all(torch.equal(p, q) for p, q in zip(loaded.parameters(), pipe.transformer.parameters()))
    made, before = (p('a corgi', steps='1*', num_frames=9, height=32, width=32, output_type='pt').frames for p in (pipe, tiny_wan_pipeline()))
    assert made.shape == before.shape and not torch.equal(made, before)
    assert main(['embed', '--prompts', str(tmp_path/'prompts.txt'), '--model', str(tmp_path/'nothing'), '--out', str(tmp_path/'x')]) == 2


@pytest.mark.parametrize('memory, code', ((1., 0), (.001, 1)))
def test_plan(memory, code, capsys):
    from asdvideo.cli import main
    assert main(['plan', '--model', 'tiny', '--gpus', '2', '--memory', str(memory), '--frames', '6', '--chunk', '2', '--rows', '8', '--cols', '8']) == code
    out = capsys.readouterr().out
    assert ('does NOT fit' in out and '--lora' in out) if code else 'fits' in out


def test_the_command_line_under_a_launcher(tmp_path):
    data = tmp_path/'data'; data.mkdir()
    (data/'digits.npz').symlink_to(Path(__file__).parent.parent/'data'/'digits.npz')
    tiny = [f'--set={s}' for s in ('size=16', 'frames=4', 'width=16', 'depth=2', 'heads=1', 'batch=4', 'steps=3')]
    sums = []
    for start, folder in ((['-m', 'accelerate.commands.launch', '--num_processes=2', '--cpu', '--mixed_precision=no', '--dynamo_backend=no', '--num_machines=1', '-m', 'asdvideo'], 'two'), (['-m', 'asdvideo'], 'one')):
        env = {**os.environ, 'ASDVIDEO_DATA': str(data), 'OMP_NUM_THREADS': '1'}
        done = subprocess.run([sys.executable, *start, 'train', 'teacher', *tiny, '--folder', str(tmp_path/folder), '--out', str(tmp_path/folder)] + ['--device=cpu'] * (folder == 'one'), env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        sums.append(load_tensors(tmp_path/folder/'state.safetensors')[0])
    for k in sums[0]:
        if sums[0][k].is_floating_point(): torch.testing.assert_close(sums[0][k], sums[1][k], atol=1e-5, rtol=1e-4)
