"One pass, many passes with a cache, whole rollouts, the penalty on slopes, and flex attention."
from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from cases import CPU, LAYOUT, STEPS, Sizes, apart, clip, head, network, on, sizes, stage, student
from checks import Check, Machine, Value
from torch import Tensor

from asdvideo.bench import flex, race
from asdvideo.cache import RingCache
from asdvideo.causal import by_chunks
from asdvideo.devices import autocast
from asdvideo.discriminator import slope_exact, slope_finite, step_logit
from asdvideo.rollout import Noise, rollout, rollout_many
from asdvideo.schedule import Schedule

BOUNDS = {'fp32': 1e-4, 'bf16': .05}


def masked(machine: Machine, precision: str) -> Iterator[Value]:
    "One masked pass and its gradient, on the device and on the CPU."
    results = []
    for how in (on(machine.device, precision), on(CPU)):
        size = sizes(machine)
        net, (xt, sigma, told) = student(size).to(how.device), clip(size, how.device)
        with autocast(how):
            velocity = net(xt, sigma, told)
        velocity.square().mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        results.append((velocity, gradient))
    yield Value('velocity', apart(results[0][0], results[1][0]), BOUNDS[precision])
    yield Value('gradient', apart(results[0][1], results[1][1]), 3 * BOUNDS[precision])


@torch.no_grad()
def cached(machine: Machine, precision: str) -> Iterator[Value]:
    "On the device: a masked pass, chunks with a cache, and chunks with a ring are one and the same."
    size, how = sizes(machine), on(machine.device, precision)
    net, (xt, sigma, told) = student(size).to(machine.device), clip(size, machine.device)
    with autocast(how):
        whole = net(xt, sigma, told)
        parts = by_chunks(net, xt, sigma, told)
        ring = by_chunks(net, xt, sigma, told, RingCache(LAYOUT, size.frames))
    yield Value('cached', apart(parts, whole), BOUNDS[precision])
    yield Value('in a ring', apart(ring, whole), BOUNDS[precision])


@torch.no_grad()
def videos(machine: Machine, precision: str) -> Iterator[Value]:
    "Rollouts on the device and on the CPU, from the same noise."
    size = sizes(machine)
    shape = (size.batch, size.frames, 1, size.network.size, size.network.size)
    for name in ('1', '1*', '4'):
        found = []
        for how in (on(machine.device, precision), on(CPU)):
            net, told = student(size).to(how.device), clip(size, how.device)[2]
            noise = Noise(shape, 0, LAYOUT, how.device)
            with autocast(how):
                found.append(rollout(net, noise, Schedule.parse(name, STEPS), told))
        yield Value(f'{name} steps', apart(*found), 3 * BOUNDS[precision])


@torch.no_grad()
def side_by_side(machine: Machine) -> Iterator[Value]:
    "Rollouts of different lengths in common passes are those that are made one by one."
    size, device = sizes(machine), machine.device
    shape = (size.batch, size.frames, 1, size.network.size, size.network.size)
    net, told = student(size).to(device), clip(size, device)[2]
    schedules = [Schedule.parse(name, STEPS) for name in ('1', '3', '1*')]
    noises = [Noise(shape, seed, LAYOUT, device) for seed in range(3)]
    together = rollout_many(net, noises, schedules, told)
    alone = [rollout(net, noise, schedule, told) for noise, schedule in zip(noises, schedules)]
    yield Value('videos', max(map(apart, together, alone)), BOUNDS['fp32'])


# the penalty

def slopes(size: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
    "Slopes of the discriminator at some videos: exactly, and estimated with one and the same step."
    backbone, judge = network(size, 2).to(device), head(size).to(device)
    xt, sigma, told = clip(size, device)
    delta, xi = .01, torch.randn(xt.shape, generator=torch.Generator().manual_seed(6)).to(device)

    def logit(x: Tensor) -> Tensor:
        return step_logit(backbone, judge, x, sigma, told, 1)

    with torch.no_grad():
        estimate = slope_finite(logit(xt), logit(xt + delta * xi), delta)
    return slope_exact(logit, xt).detach(), estimate


def penalty(machine: Machine) -> Iterator[Value]:
    "The slopes of every video on the device and on the CPU."
    size = sizes(machine)
    (exact, estimate), (exact_cpu, estimate_cpu) = slopes(size, machine.device), slopes(size, CPU)
    yield Value('exact', apart(exact, exact_cpu), 1e-3)
    together = torch.stack([estimate.cpu(), estimate_cpu]).double()
    yield Value('estimated, correlation', float(torch.corrcoef(together)[0, 1]), least=.99)
    yield Value('estimated, mean', abs(float(estimate.mean() / estimate_cpu.mean()) - 1), .05)


def penalty_in_bf16(machine: Machine) -> Iterator[Value]:
    "The slopes that a training in bf16 logs are those of a training in fp32: they are computed in fp32 always."
    logged = []
    for how in (on(machine.device, 'bf16'), on(CPU)):
        one = stage('asd', sizes(machine), how)
        batches = one.rollouts(0, 0)
        one.head_loss(one.draws(0, 0, 'head'), batches[0])
        logged.append(float(one.notes[-1]['slopes']))
    yield Value('slopes', abs(logged[0] / logged[1] - 1), .05)


# attention

@torch.no_grad()
def flexible(machine: Machine) -> Iterator[Value]:
    "Flex attention with a mask by chunks against the attention that is used; for comparison only."
    tokens, chunk, d = (64, 16, 16) if machine.dry else (2048, 128, 64)
    shape = (3, 2, 4, tokens, d)
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    q, k, v = numbers.to(machine.device, torch.bfloat16).unbind(0)
    place = torch.arange(tokens, device=machine.device) // chunk
    mask = place[None, :] <= place[:, None]
    runs = {'sdpa': partial(F.scaled_dot_product_attention, q, k, v, mask)}
    runs['flex'] = flex(q, k, v, chunk, compiled=not machine.dry)
    yield Value('difference', apart(runs['flex'](), runs['sdpa']().float()), .02)
    seconds = race(runs, 2 if machine.dry else 10, machine.device)
    yield Value('sdpa / flex, time', sorted(seconds['sdpa'])[-2] / sorted(seconds['flex'])[-2], unit='times')


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    found = []
    for precision in BOUNDS:
        found += [
            Check(f'a masked pass as on the CPU, {precision}', partial(masked, machine, precision)),
            Check(f'masked = cached = ring, {precision}', partial(cached, machine, precision)),
            Check(f'rollouts as on the CPU, {precision}', partial(videos, machine, precision)),
        ]
    return [
        *found,
        Check('rollouts side by side = one by one', partial(side_by_side, machine)),
        Check('slopes as on the CPU', partial(penalty, machine)),
        Check('slopes of a training in bf16', partial(penalty_in_bf16, machine)),
        Check('flex attention = attention with a mask', partial(flexible, machine)),
    ]
