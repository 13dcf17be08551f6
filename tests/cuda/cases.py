"Networks, worlds and trainings that the checks share. Equal arguments make equal weights on every machine."
from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from checks import Machine, Value
from torch import Tensor, nn

from asdvideo.asd import AsdSettings, AsdStage
from asdvideo.causal import causal, trainable
from asdvideo.denoiser import CausalLayout, Condition
from asdvideo.devices import Runtime, compile_blocks
from asdvideo.digits import DigitsSettings, SteeredDigits
from asdvideo.discriminator import DiscriminatorHead, head_for
from asdvideo.dmd import DmdSettings, DmdStage
from asdvideo.initialisation import InitialisationSettings, InitialisationStage, Paths, PathSettings, record_paths
from asdvideo.judge import Judge, JudgeSettings, JudgeStage
from asdvideo.learner import LearnerSettings
from asdvideo.schedule import StepList
from asdvideo.teacher import TeacherSettings, TeacherStage
from asdvideo.training import ProcessGroup, Stage
from asdvideo.transformer import NetworkConfig, VideoTransformer
from asdvideo.verify.cases import shaken

CPU = torch.device('cpu')
STEPS = StepList(4, 3.)
LAYOUT = CausalLayout(2)
LEARNER = LearnerSettings(lr=1e-4, warmup=1, decay=0., average=.9)
STAGES = ('teacher', 'teacher forcing', 'initialisation', 'dmd', 'asd', 'judge')
PRECISIONS = {'fp32': Runtime(), 'bf16': Runtime(precision='bf16')}


@dataclass(frozen=True)
class Sizes:
    "How large everything is. With a device the network is the one of the book."

    frames: int = 12
    batch: int = 8
    network: NetworkConfig = NetworkConfig()


SMALL = Sizes(4, 4, NetworkConfig(width=32, depth=2, heads=2))


def sizes(machine: Machine) -> Sizes:
    "Small ones for a trial without a device."
    return SMALL if machine.dry else Sizes()


def on(device: torch.device, precision: str = 'fp32', compiled: bool = False) -> Runtime:
    "How to run somewhere."
    return Runtime(device, precision, compiled)


@cache
def seeded(kind: type[nn.Module], *args: Any, seed: int = 0, size: float = .05) -> nn.Module:
    "A network with fresh weights and random numbers added to them. Nobody may change it; take a copy."
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return shaken(kind(*args), seed, size)


def network(size: Sizes, seed: int = 0) -> VideoTransformer:
    "A copy of a bidirectional network whose weights take gradients."
    return trainable(seeded(VideoTransformer, size.network, seed=seed))


def student(size: Sizes) -> VideoTransformer:
    "A copy of a causal network."
    return causal(network(size), LAYOUT)


def head(size: Sizes) -> DiscriminatorHead:
    "A copy of a discriminator's head."
    return trainable(seeded(DiscriminatorHead, head_for(size.network, STEPS.count).config, seed=3))


@cache
def world(frames: int, part: str = 'train') -> SteeredDigits:
    "Steered digits."
    return SteeredDigits(DigitsSettings(frames=frames), part)


@cache
def paths(size: Sizes) -> Paths:
    "A few paths of a random teacher, made on the CPU."
    with tempfile.TemporaryDirectory() as folder:
        teacher = network(size, 1).eval().requires_grad_(False)
        settings = PathSettings(count=16, shard=8, steps=STEPS.count)
        return Paths(record_paths(teacher, world(size.frames), STEPS, settings, folder, 'random', quiet=True))


def clip(size: Sizes, device: torch.device = CPU) -> tuple[Tensor, Tensor, Condition]:
    "A noisy video, its noise levels, and what it shall show, the same numbers on every device."
    generator = torch.Generator().manual_seed(5)
    side, frames = size.network.size, size.frames
    xt = torch.randn(size.batch, frames, 1, side, side, generator=generator)
    sigma = .05 + .9 * torch.rand(size.batch, frames, generator=generator)
    labels = [torch.randint(-1, count, (size.batch, frames), generator=generator) for count in (10, 4)]
    return xt.to(device), sigma.to(device), Condition(labels=torch.stack(labels, -1).to(device))


# trainings

def distillation(kind: str, size: Sizes, how: Runtime, backend: str, group: ProcessGroup | None) -> DmdStage:
    "A training of a student by DMD or ASD."
    nets = student(size), network(size, 1), network(size, 2)
    for net in nets:
        compile_blocks(net, how, backend)
    common: dict[str, Any] = {'steps': 100, 'batch': size.batch, 'block': 4, 'wait': 0, 'fake_rounds': 1}
    common |= {'counts': (1, 2), 'student': LEARNER, 'fake_score': LEARNER}
    shared: dict[str, Any] = {'runtime': how, 'group': group}
    if kind == 'dmd':
        return DmdStage(DmdSettings(**common), *nets, world(size.frames), STEPS, **shared)
    settings = AsdSettings(**common, head=LearnerSettings(lr=1e-4, warmup=1, decay=0.), calibrate=1)
    return AsdStage(settings, *nets, head(size), world(size.frames), STEPS, **shared)


def stage(
    name: str, size: Sizes, how: Runtime, backend: str = 'inductor', group: ProcessGroup | None = None
) -> Stage:
    "A training by its name, see `STAGES`."
    if name in ('dmd', 'asd'):
        return distillation(name, size, how, backend, group)
    common: dict[str, Any] = {'steps': 100, 'batch': size.batch, 'block': 4, 'learner': LEARNER}
    if name == 'judge':
        net = trainable(seeded(Judge, seed=4, size=0.))
        return JudgeStage(JudgeSettings(**common), net, world(2, 'judge'), runtime=how)
    muon = common | {'learner': LearnerSettings(lr=1e-4, warmup=1, decay=0., average=.9, muon=True)}
    net = compile_blocks(network(size) if name == 'teacher' else student(size), how, backend)
    if name == 'initialisation':
        return InitialisationStage(InitialisationSettings(**muon), net, paths(size), STEPS, runtime=how)
    settings = TeacherSettings(**muon, forcing=name == 'teacher forcing')
    return TeacherStage(settings, net, world(size.frames), runtime=how)


@dataclass(frozen=True)
class Outcome:
    "What two steps of a training have done, on the CPU in fp64."

    logs: dict[str, float]
    gradients: dict[str, Tensor]
    "the last gradient of each network, as one vector"
    ways: dict[str, Tensor]
    "how far the weights of each network went, as one vector"


def vector(stage: Stage, tensors: list[Tensor]) -> Tensor:
    "Tensors as one vector on the CPU; split ones are put together."
    return torch.cat([stage.group.whole(x.detach()).cpu().double().flatten() for x in tensors])


def outcome(stage: Stage, steps: int = 2) -> Outcome:
    "Let a training make some steps."
    before = {name: vector(stage, one.params) for name, one in stage.learners.items()}
    for step in range(steps):
        logs = stage.train_step(step)
    gradients, ways = {}, {}
    for name, one in stage.learners.items():
        gradients[name] = vector(stage, [torch.zeros_like(p) if p.grad is None else p.grad for p in one.params])
        ways[name] = vector(stage, one.params) - before[name]
    return Outcome({name: float(value) for name, value in logs.items()}, gradients, ways)


def apart(ours: Tensor, theirs: Tensor) -> float:
    "The length of the difference over the length of the second."
    theirs = theirs.detach().cpu().double()
    return float((ours.detach().cpu().double() - theirs).norm() / theirs.norm().clamp(min=1e-30))


STEADY = ('loss', 'dmd', 'norm', 'slopes')
"the logs that are compared begin with these words; shares and cosines of few videos jump"


def compare(ours: Outcome, theirs: Outcome, bounds: tuple[float, float, float]) -> list[Value]:
    "How far two outcomes are apart: logs, gradients, and the directions in which the weights went."
    names = [name for name in theirs.logs if name.startswith(STEADY)]
    logs = max(abs(ours.logs.get(n, math.inf) - theirs.logs[n]) / max(abs(theirs.logs[n]), 1e-12) for n in names)
    gradients = max(apart(ours.gradients[n], theirs.gradients[n]) for n in theirs.gradients)
    angles = [max(0., 1 - F.cosine_similarity(ours.ways[n], theirs.ways[n], dim=0).item()) for n in theirs.ways]
    found = {'logs': logs, 'gradients': gradients, 'ways, 1 - cosine': max(angles)}
    return [Value(what, value, most) for (what, value), most in zip(found.items(), bounds)]


@cache
def truth(name: str, size: Sizes) -> Outcome:
    "What a training does on the CPU in fp32."
    return outcome(stage(name, size, on(CPU)))
