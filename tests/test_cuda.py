"The script for a CUDA device, as far as it can be tried without one; and that its checks can fail."
from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from house import ROOT

FOLDER = ROOT/'tests'/'cuda'
sys.path.append(str(FOLDER))
import run
from cases import CPU, SMALL, Outcome, compare, on, outcome, stage
from checks import ERROR, FAILED, FIGURE, LEFT_OUT, OK, Check, LeftOut, Machine, Value, run_checks
from steps import BOUNDS
from waits import Watch

from asdvideo.bench import flops
from asdvideo.devices import Runtime, compile_blocks, runtime
from asdvideo.learner import Learner, LearnerSettings
from asdvideo.settings import changed
from asdvideo.verify.cases import small, tiny_stage


def script(*words: object) -> subprocess.CompletedProcess:
    "Run the script in a process of its own."
    command = [sys.executable, str(FOLDER/'run.py'), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=FOLDER)


def rows(file: Path) -> list[dict]:
    "The rows of a result."
    return json.loads(file.read_text())['rows']


def test_the_trial_on_the_cpu_holds_every_bound(tmp_path: Path) -> None:
    done = script('--device', 'cpu', '--minutes', 30, '--out', tmp_path/'found.json')
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = rows(tmp_path/'found.json')
    assert {row['part'] for row in found} == set(run.PARTS)
    odd = [row for row in found if row['verdict'] == LEFT_OUT and 'at home' not in row['check']]
    assert not odd and sum(row['verdict'] == OK for row in found) > 80
    table = (tmp_path/'found.md').read_text().splitlines()
    assert sum(line.startswith('| ') for line in table) == len(found) + 1


def test_on_the_meta_device_no_step_waits(tmp_path: Path) -> None:
    done = script('--device', 'meta', '--minutes', 30, '--parts', 'steps', 'wan', '--out', tmp_path/'found.json')
    assert done.returncode == 0, done.stdout[-3000:]
    waits = [row for row in rows(tmp_path/'found.json') if row['what'] == 'waits']
    assert len(waits) == 8 and all(row['value'] == 0 for row in waits)


@pytest.mark.skipif(torch.cuda.is_available(), reason='here is a CUDA device')
def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture) -> None:
    assert run.main([]) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and 'no CUDA device' in said and '--device cpu' in said
    assert run.main(['--device', 'tpu']) == 2


def test_a_part_has_a_process_of_its_own() -> None:
    "Its rows come back; here its time is over before it begins, and then its process is told of no such device."
    found = list(run.part_apart('split', CPU, 0.))
    assert len(found) == 2 and {row.verdict for row in found} == {LEFT_OUT}
    last = list(run.part_apart('split', torch.device('xpu'), 0.))[-1]
    assert last.verdict == ERROR and 'ended with 2' in last.note


# checks

def test_whatever_happens_in_a_check_is_a_row() -> None:
    def breaks() -> Iterator[Value]:
        yield Value('first', 1.)
        raise RuntimeError('many\nlines')

    def leaves() -> Iterator[Value]:
        raise LeftOut('no reason')
        yield Value('never', 0.)

    def finds() -> Iterator[Value]:
        yield Value('small', 1., most=2.)
        yield Value('large', 3., most=2.)
        yield Value('low', 1., least=2.)
        yield Value('nothing', math.nan, most=2.)

    def needs() -> Iterator[Value]:
        import no_such_package
        yield Value('never', no_such_package.x)

    checks = [Check(f.__name__, f) for f in (breaks, leaves, needs, finds)]
    found = list(run_checks('part', checks, Machine(CPU)))
    verdicts = [FIGURE, ERROR, LEFT_OUT, LEFT_OUT, OK, FAILED, FAILED, FAILED]
    assert [row.verdict for row in found] == verdicts
    assert 'RuntimeError: many lines (test_cuda.py, line' in found[1].note
    late = list(run_checks('part', checks, Machine(CPU, ends=0.)))
    assert {row.verdict for row in late} == {LEFT_OUT} and len(late) == len(checks)


def test_a_part_that_cannot_be_imported_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'diffusers', None)
    for name in ('wan', 'asdvideo.wan.model', 'asdvideo.wan.training', 'asdvideo.wan.memory'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    row, = run.part_here('wan', CPU, 60.)
    assert row.verdict == LEFT_OUT and 'diffusers' in row.note


@pytest.fixture(scope='module')
def right() -> Outcome:
    "What two steps of ASD do."
    return outcome(stage('asd', SMALL, on(CPU)))


def test_other_draws_are_noticed(right: Outcome) -> None:
    "A step that draws other numbers is out of all bounds, in fp32 and in bf16."
    other = stage('asd', SMALL, on(CPU))
    other.settings = changed(other.settings, seed=1)
    for bounds in BOUNDS.values():
        assert {value.verdict for value in compare(outcome(other), right, bounds)} >= {FAILED}


def test_a_missing_penalty_is_noticed(right: Outcome) -> None:
    other = stage('asd', SMALL, on(CPU))
    other.settings = changed(other.settings, gamma=0.)
    verdicts = [value.verdict for value in compare(outcome(other), right, BOUNDS['bf16'])]
    assert FAILED in verdicts


# waiting

WAITS = {
    'a list becomes a tensor there': lambda x: torch.tensor([1., 2.], device='meta'),
    'a copy that blocks': lambda x: torch.ones(2).to('meta'),
    'an index from a list': lambda x: x[:, [0, 1]],
    'an index from the CPU': lambda x: x[torch.arange(2)],
    'a mask of booleans': lambda x: x[torch.empty(3, dtype=torch.bool, device='meta')],
}


@pytest.mark.parametrize('name', WAITS)
def test_a_wait_is_noticed(name: str) -> None:
    x = torch.empty(3, 3, device='meta')
    with Watch() as watch:
        try:
            WAITS[name](x)
        except NotImplementedError:        # an operation that meta does not know
            watch.places.append('refused')
    assert watch.places


def test_what_does_not_wait_is_not_noticed() -> None:
    x = torch.empty(3, 3, device='meta')
    with Watch() as watch:
        torch.ones(2).to('meta', non_blocking=True)
        torch.full((2,), 3., device='meta')
        x[:, 0], x[1:], x[None], x[torch.zeros(2, dtype=torch.long, device='meta')]
        x.to('meta'), x.repeat_interleave(2, 0)
    assert not watch.places


def test_the_average_is_that_of_torch() -> None:
    learner = Learner(small(grad=True), LearnerSettings(average=.9), 8)
    torchs = AveragedModel(copy.deepcopy(learner.model), multi_avg_fn=get_ema_multi_avg_fn(.9))
    for seed in range(3):
        torch.manual_seed(seed)
        for p in learner.model.parameters():
            nn.init.normal_(p)
        learner.follow(learner.average)
        torchs.update_parameters(learner.model)
    ours, theirs = learner.average.state_dict(), torchs.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# precision and counting

def test_fp32_is_fp32_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for fast, products in ((True, 'high'), (False, 'highest')):
            assert runtime('cuda', fast).device.type == 'cuda'
            assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (products, fast)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_products_of_compiled_blocks_are_counted() -> None:
    "The counter does not see into compiled code, so nothing may be compiled while it counts."
    def refuse(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> None:
        raise AssertionError('compiled')

    plain, compiled = tiny_stage(counts=(1,)), tiny_stage(counts=(1,))
    compile_blocks(compiled.student.model, Runtime(compile=True), refuse)
    counts = [flops(partial(stage.train_step, 0)) for stage in (compiled, plain)]
    assert counts[0] == counts[1] > 0
