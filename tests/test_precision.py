"The fast path: bf16 autocast on a CPU against fp32, and blocks that are compiled once for each length of the past."

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters

from asdvideo.asd import AsdStage
from asdvideo.cache import RingCache
from asdvideo.causal import by_chunks
from asdvideo.denoiser import CausalLayout
from asdvideo.devices import PRECISIONS, Runtime, autocast, compile_blocks
from asdvideo.dmd import DmdStage
from asdvideo.rollout import Noise, rollout
from asdvideo.schedule import Schedule
from asdvideo.transformer import VideoTransformer, rotary_table
from asdvideo.verify.base import relative
from asdvideo.verify.cases import STEPS, clip, play, student, tiny_stage

BF16 = Runtime(precision='bf16')


# bf16 against fp32

@pytest.mark.parametrize('steps', [1, '1*', 4])
def test_a_rollout_in_bf16_follows_fp32(steps: int | str) -> None:
    plain = play(student(), steps)
    with autocast(BF16):
        rough = play(student(), steps)
    assert rough.dtype == torch.float32, 'videos stay fp32 between passes'
    assert 1e-6 < relative(rough, plain) < .05


def test_no_pass_warns_under_autocast() -> None:
    net, (xt, sigma, told) = student(grad=True), clip()
    with autocast(BF16), warnings.catch_warnings():
        warnings.simplefilter('error')
        net(xt, sigma, told).sum().backward()
        by_chunks(net, xt, sigma, told)


@pytest.mark.parametrize('kind', [DmdStage, AsdStage])
def test_a_step_in_bf16_goes_where_fp32_goes(kind: type[DmdStage]) -> None:
    "Whole steps of the training: logs within bounds, and the way of each network within an angle."
    ways, logs = [], []
    for precision in PRECISIONS:
        stage = tiny_stage(kind, counts=(1, 2), runtime=Runtime(precision=precision))
        before = {name: nn.utils.parameters_to_vector(one.model.parameters()) for name, one in stage.learners.items()}
        logs.append([stage.train_step(step) for step in range(2)][1])
        after = {name: nn.utils.parameters_to_vector(one.model.parameters()) for name, one in stage.learners.items()}
        ways.append({name: (after[name] - before[name]).detach() for name in after})
    for name in ('student', 'fake_score'):      # a fresh head learns from differences below bf16's rounding
        assert F.cosine_similarity(ways[1][name], ways[0][name], dim=0) > .9, name
    for name, value in logs[0].items():
        if name.startswith(('loss', 'dmd', 'norm', 'slopes')):
            assert abs(logs[1][name] / value - 1) < .1, (name, value, logs[1][name])


def test_weights_and_gradients_stay_fp32_under_autocast() -> None:
    stage = tiny_stage(AsdStage, counts=(1, 2), runtime=BF16)
    stage.train_step(0)
    for learner in stage.learners.values():
        assert all(p.dtype == torch.float32 for p in learner.model.parameters())
        assert all(p.grad.dtype == torch.float32 for p in learner.params if p.grad is not None)


def test_positions_are_exact_where_bf16_would_round() -> None:
    near, far = (rotary_table(start, 2, 1, 1, 6)[0] for start in (300, 301))
    assert torch.equal(near[1], far[0]) and not torch.equal(near[0], near[1])
    assert near.dtype == torch.float32


# compiled blocks

@pytest.fixture
def compiled() -> Iterator[Callable[..., VideoTransformer]]:
    "Makes networks whose blocks are compiled, and forgets all graphs before and afterwards."
    def make(layout: CausalLayout = CausalLayout(2), grad: bool = False, backend: str = 'eager') -> VideoTransformer:
        torch._dynamo.reset()
        counters.clear()
        return compile_blocks(student(grad=grad, layout=layout), Runtime(compile=True), backend)

    yield make
    torch._dynamo.reset()
    counters.clear()


def graphs() -> int:
    "How many graphs were compiled since the last reset."
    return counters['stats']['unique_graphs']


def write(net: VideoTransformer, frames: int, seed: int = 0, **options: object) -> Tensor:
    "A rollout of two steps per chunk."
    noise = Noise((2, frames, 1, 8, 8), seed, net.layout)
    return rollout(net, noise, Schedule.parse(2, STEPS), clip(f=frames)[2], **options)


def test_a_rollout_compiles_once_for_each_length_of_the_past(compiled: Callable[..., VideoTransformer]) -> None:
    net = compiled()
    with torch.no_grad():
        write(net, 6)
        assert graphs() <= 3, 'three chunks have pasts of three lengths'
        write(net, 6, seed=1)
        assert graphs() <= 3, 'other noise and other labels are no reason to compile'


def test_a_window_bounds_the_number_of_graphs(compiled: Callable[..., VideoTransformer]) -> None:
    "A long video is compiled for the lengths up to the window: the time of a chunk is no reason to compile."
    net = compiled(CausalLayout(2, window=4))
    with torch.no_grad():
        write(net, 6)
        short = graphs()
        assert short <= 3
        write(net, 20)
        assert graphs() == short
        write(net, 12, cache=RingCache(net.layout))
        assert graphs() <= 2 * short, 'a ring has pasts of the same lengths'


def test_training_compiles_a_bounded_number_of_graphs(compiled: Callable[..., VideoTransformer]) -> None:
    "Five chunks need ten graphs, more than the eight after which torch would give up on its own."
    net = compiled(grad=True)
    write(net, 10, grad=True).sum().backward()
    first = graphs()
    assert 8 < first <= 2 * 5, 'five lengths, with gradients and without'
    write(net, 10, seed=1, grad=True).sum().backward()
    assert graphs() == first
    assert not counters['graph_break'], dict(counters['graph_break'])
    assert counters['frames']['total'] == counters['frames']['ok'], 'no frame was left to the interpreter'


def test_compiled_blocks_compute_the_same(compiled: Callable[..., VideoTransformer]) -> None:
    plain = student(grad=True)
    net = compiled(grad=True, backend='aot_eager')
    results = []
    for one in (plain, net):
        video = write(one, 6, grad=True)
        grads = torch.autograd.grad(video.square().sum(), list(one.parameters()), allow_unused=True)
        results.append([video.detach(), *(g for g in grads if g is not None)])
    assert relative(results[1], results[0]) < 1e-4
    assert list(plain.state_dict()) == list(net.state_dict()), 'compiling renames no weight'
