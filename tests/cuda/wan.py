"Causal Wan, tiny and with random weights: passes, caches, and steps of its distillation. It needs peft."
from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

import torch
from cases import CPU, STEPS, Outcome, apart, compare, on, outcome
from checks import Check, Machine, Value
from steps import BOUNDS, at_home
from torch import Tensor

from asdvideo.cache import RingCache
from asdvideo.causal import by_chunks
from asdvideo.denoiser import CausalLayout, Condition
from asdvideo.devices import Runtime, autocast, compile_blocks
from asdvideo.dmd import DmdStage
from asdvideo.learner import LearnerSettings
from asdvideo.randomness import stream
from asdvideo.settings import changed
from asdvideo.wan.memory import NoPrompts
from asdvideo.wan.model import TINY, CausalWan, WanCache, random_wan
from asdvideo.wan.training import KINDS, WanSettings, wan_stage

PASSES = {'fp32': 1e-4, 'bf16': .05}
LAYOUT = CausalLayout(2)
SHAPE = WanSettings(frames=4, chunk=2, rows=8, cols=8)


class RandomPrompts(NoPrompts):
    "Prompts that are random numbers, kept on the CPU as those of a folder are."

    def __init__(self, width: int, length: int = 6) -> None:
        self.null = torch.randn(1, length, width, generator=stream(0, 'null'))

    def take(self, indices: Sequence[int]) -> Tensor:
        "See `Prompts.take`."
        return torch.stack([torch.randn(self.null.shape[1:], generator=stream(0, int(i))) for i in indices])


def inputs(device: torch.device) -> tuple[Tensor, Tensor, Condition]:
    "A noisy video, its noise levels, and a text."
    generator = torch.Generator().manual_seed(1)
    xt, sigma = torch.randn(2, 6, 4, 8, 8, generator=generator), torch.rand(2, 6, generator=generator)
    text = torch.randn(2, 6, TINY['text_dim'], generator=generator)
    return xt.to(device), sigma.to(device), Condition(text=text.to(device))


def net_on(device: torch.device) -> CausalWan:
    "A tiny causal Wan in which attention matters."
    net = random_wan(layout=LAYOUT)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if 'attn' in name and p.dim() == 2:
                p.mul_(4)
    return net.to(device)


@torch.no_grad()
def passes(machine: Machine, precision: str) -> Iterator[Value]:
    "A masked pass on the device and on the CPU; chunks with a cache and with a ring."
    how, bound = on(machine.device, precision), PASSES[precision]
    net, (xt, sigma, told) = net_on(machine.device), inputs(machine.device)
    with autocast(how):
        whole = net(xt, sigma, told)
        parts = by_chunks(net, xt, sigma, told)
        ring = by_chunks(net, xt, sigma, told, WanCache(RingCache(LAYOUT, 6)))
    yield Value('as on the CPU', apart(whole, net_on(CPU)(*inputs(CPU))), bound)
    yield Value('cached', apart(parts, whole), bound)
    yield Value('in a ring', apart(ring, whole), bound)


def tiny(kind: str, how: Runtime, backend: str = 'inductor') -> DmdStage:
    "A distillation of a tiny Wan."
    learner = LearnerSettings(lr=1e-4, warmup=1, decay=0., average=.9)
    plain = {'batch': 2, 'block': 1, 'fake_rounds': 1, 'counts': (1, 2), 'student': learner, 'fake_score': learner}
    more = {'calibrate': 1, 'head': changed(learner, average=0.)} if kind == 'asd' else {}
    model, real = random_wan().model, random_wan(seed=1).model
    prompts, settings = RandomPrompts(TINY['text_dim']), changed(KINDS[kind], **plain, **more)
    made = wan_stage(kind, model, prompts, SHAPE, settings, real, STEPS, runtime=how)
    for learned in (made.student, made.fake_score):
        compile_blocks(learned.model, how, backend)
    return made


@cache
def truth(kind: str) -> Outcome:
    "What a distillation does on the CPU in fp32."
    return outcome(tiny(kind, on(CPU)))


def step(machine: Machine, kind: str, precision: str, compiled: bool = False) -> Iterator[Value]:
    "Two steps of a distillation. The head starts from zero logits, so that its way is a matter of rounding in bf16."
    backend = 'eager' if machine.dry else 'inductor'
    done = outcome(tiny(kind, on(machine.device, precision, compiled), backend))
    yield from compare(done, truth(kind), BOUNDS[precision])


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    found = [Check(f'passes, {precision}', partial(passes, machine, precision)) for precision in PASSES]
    found += [
        Check(f'{kind}, {precision}', partial(step, machine, kind, precision)) for kind in KINDS for precision in BOUNDS
    ]
    for kind in KINDS:
        make = partial(tiny, kind, on(machine.device))
        found.append(Check(f'{kind} stays at home', partial(at_home, machine.device, make), ('cuda', 'meta')))
    return [*found, Check('dmd, compiled', partial(step, machine, 'dmd', 'fp32', True), needs=40)]
