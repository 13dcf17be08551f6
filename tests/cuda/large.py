"A network of some 200 million weights learns for some hundred steps: its loss falls, and it uses the device."
from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from cases import on
from checks import Check, Machine, Value

from asdvideo.bench import flops, matmul, race, wait_for
from asdvideo.devices import Runtime, autocast, compile_blocks
from asdvideo.learner import LearnerSettings
from asdvideo.randomness import Draws, stream
from asdvideo.teacher import TeacherSettings, TeacherStage, flow_loss
from asdvideo.transformer import NetworkConfig, VideoTransformer
from asdvideo.world import Clips

LARGE = NetworkConfig(size=32, channels=4, patch=4, width=1024, depth=16, heads=16, labels=(16,))
TRIAL = NetworkConfig(size=16, channels=4, patch=4, width=32, depth=2, heads=2, labels=(16,))
STEPS = 300


def clips(config: NetworkConfig, frames: int = 12) -> Clips:
    "Sixteen smooth random clips, each with its own label: something that can be learned."
    coarse = torch.rand(16, config.channels, 3, 4, 4, generator=stream(0, 'clips'))
    video = F.interpolate(coarse, (frames, config.size, config.size), mode='trilinear').transpose(1, 2)
    return Clips(2 * video.contiguous() - 1, torch.arange(16)[:, None])


def batch_for(machine: Machine) -> int:
    "How many clips a card has room for."
    if machine.dry:
        return 2
    gigabytes = torch.cuda.get_device_properties(machine.device).total_memory / 2 ** 30
    return 32 if gigabytes > 60 else 16 if gigabytes > 30 else 8 if gigabytes > 15 else 4


def training(config: NetworkConfig, batch: int, how: Runtime, backend: str = 'inductor') -> TeacherStage:
    "A training of a teacher on the smooth clips."
    learner = LearnerSettings(lr=2e-4 if config == LARGE else 3e-3, beta1=.9, warmup=10, decay=0.)
    settings = TeacherSettings(steps=STEPS, batch=batch, block=batch, learner=learner)
    with torch.device(how.device):
        torch.manual_seed(0)
        net = VideoTransformer(config)
    return TeacherStage(settings, compile_blocks(net, how, backend), clips(config), runtime=how)


@torch.no_grad()
def distance(stage: TeacherStage) -> float:
    "The loss at fixed clips, noise and noise levels."
    draws = Draws([stream(1, 'held')], 8, stage.runtime.device)
    x0, condition = stage.world.sample(draws)
    sigma = torch.full(x0.shape[:2], .5, device=x0.device)
    with autocast(stage.runtime):
        return float(flow_loss(stage.net.model, x0, draws.normal(*x0.shape[1:]), sigma, condition).mean())


def learn(stage: TeacherStage, machine: Machine, steps: int) -> list[float]:
    "Seconds per step, every ten steps; it ends before the last step if the time is over."
    seconds, began = [], time.perf_counter()
    for step in range(steps):
        stage.train_step(step)
        if step % 10 == 9:
            wait_for(machine.device)
            seconds.append((time.perf_counter() - began) / 10)
            began = time.perf_counter()
            if machine.left() < 0:
                break
    return seconds


def matmul_peak(machine: Machine) -> float:
    "Operations per second of square matrix products in bf16; in a trial in fp32, for not every processor knows bf16."
    run, operations = matmul(machine.device, torch.float32 if machine.dry else torch.bfloat16)
    return operations / median(race({'product': run}, 3, machine.device)['product'])


def large(machine: Machine, compiled: bool) -> Iterator[Value]:
    "Loss, speed, share of the peak that matrix products of bf16 reach on this device, and memory."
    config, batch = (TRIAL if machine.dry else LARGE), batch_for(machine)
    work = flops(partial(training(config, batch, on(torch.device('meta'))).train_step, 0))
    peak = matmul_peak(machine)
    stage = training(config, batch, on(machine.device, 'bf16', compiled), 'eager' if machine.dry else 'inductor')
    before = distance(stage)
    seconds = learn(stage, machine, 20 if machine.dry else STEPS)
    each = median(seconds[1:] or seconds)
    yield Value('weights', sum(p.numel() for p in stage.net.params) / 1e6, unit='million')
    yield Value('steps', 10 * len(seconds), least=20)
    yield Value('loss after / before', distance(stage) / before, most=.9)
    yield Value('seconds per step', each, unit='s')
    yield Value('clips', batch / each, unit='clips/s')
    yield Value('matrix products', work / each / 1e12, unit='TFLOP/s')
    yield Value('measured peak', peak / 1e12, unit='TFLOP/s')
    yield Value('share of the peak', work / each / peak, most=None if machine.dry else 1.05)
    if not machine.dry:
        yield Value('memory', torch.cuda.max_memory_allocated(machine.device) / 1e9, unit='GB')


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    return [
        Check('bf16', partial(large, machine, False)),
        Check('bf16, compiled', partial(large, machine, True), needs=30),
    ]
