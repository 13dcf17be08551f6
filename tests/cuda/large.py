"A network of some 200 million weights learns for some hundred steps: its loss falls, and it uses the device."
from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from cases import on
from checks import Check, LeftOut, Machine, Value
from torch import Tensor

from asdvideo.bench import flops, matmul_peak, wait_for
from asdvideo.devices import Runtime, compile_blocks
from asdvideo.randomness import stream
from asdvideo.teacher import TeacherSettings, TeacherStage
from asdvideo.training import LearnerSettings
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
    learner = LearnerSettings(lr=2e-4, beta1=.9, warmup=50, decay=0.)
    settings = TeacherSettings(steps=STEPS, batch=batch, block=batch, learner=learner)
    with torch.device(how.device):
        torch.manual_seed(0)
        net = VideoTransformer(config)
    return TeacherStage(settings, compile_blocks(net, how, backend), clips(config), runtime=how)


def learn(stage: TeacherStage, machine: Machine, steps: int) -> tuple[list[Tensor], list[float]]:
    "Losses and seconds of up to some steps; it ends earlier if the time is over. It looks at the clock every ten steps."
    losses, seconds = [], []
    began = time.perf_counter()
    for step in range(steps):
        losses.append(stage.train_step(step)['loss'])
        if step % 10 == 9:
            wait_for(machine.device)
            seconds.append((time.perf_counter() - began) / 10)
            began = time.perf_counter()
            if machine.left() < 0:
                break
    return losses, seconds


def large(machine: Machine, compiled: bool) -> Iterator[Value]:
    "Loss, speed, share of the peak that matrix products of bf16 reach on this device, and memory."
    config, batch = (TRIAL if machine.dry else LARGE), batch_for(machine)
    if compiled and machine.left() < 30:
        raise LeftOut('the time of this part is over')
    with torch.device('meta'):
        counted = training(config, batch, on(torch.device('meta')))
    work = flops(counted)
    peak = median(matmul_peak(machine.device, 3, 128 if machine.dry else 2048, torch.bfloat16)) * 1e9
    stage = training(config, batch, on(machine.device, 'bf16', compiled), 'eager' if machine.dry else 'inductor')
    losses, seconds = learn(stage, machine, 30 if machine.dry else STEPS)
    each = median(seconds[1:])
    first, last = (float(torch.stack(part).mean()) for part in (losses[:10], losses[-10:]))
    yield Value('weights', sum(p.numel() for p in stage.net.params) / 1e6, unit='million')
    yield Value('steps', len(losses), least=20)
    yield Value('last loss / first loss', last / first, most=.9)
    yield Value('seconds per step', each, unit='s')
    yield Value('clips', batch / each, unit='clips/s')
    yield Value('matrix products', work / each / 1e12, unit='TFLOP/s')
    yield Value('measured peak', peak / 1e12, unit='TFLOP/s')
    yield Value('share of the peak', work / each / peak, most=1.05)
    if not machine.dry:
        yield Value('memory', torch.cuda.max_memory_allocated(machine.device) / 1e9, unit='GB')


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    return [
        Check('bf16', partial(large, machine, False)),
        Check('bf16, compiled', partial(large, machine, True)),
    ]
