"How fast the network of the book writes and learns. These are figures; nothing is required of them."
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from statistics import median

import torch
from cases import LAYOUT, STEPS, Sizes, clip, on, sizes, stage, student
from checks import Check, Machine, Value

from asdvideo.bench import race
from asdvideo.devices import autocast
from asdvideo.rollout import Noise, rollout
from asdvideo.schedule import Schedule


def many(machine: Machine, batch: int) -> Sizes:
    "The sizes of the book with another batch; small ones without a device."
    small = sizes(machine)
    return small if machine.dry else Sizes(small.frames, batch, small.network)


@torch.no_grad()
def writing(machine: Machine, precision: str, batch: int) -> Iterator[Value]:
    "Videos per second."
    size, how = many(machine, batch), on(machine.device, precision)
    net, told = student(size).to(machine.device), clip(size, machine.device)[2]
    noise = Noise((size.batch, size.frames, 1, size.network.size, size.network.size), 0, LAYOUT, machine.device)
    runs = {name: partial(rollout, net, noise, Schedule.parse(name, STEPS), told) for name in ('1', '4')}
    with autocast(how):
        seconds = race(runs, 2 if machine.dry else 7, machine.device)
    for name, times in seconds.items():
        yield Value(f'{name} steps, {size.batch} at once', size.batch / median(times), unit='videos/s')


def learning(machine: Machine, precision: str) -> Iterator[Value]:
    "Clips per second of the trainings."
    size, how = many(machine, 64), on(machine.device, precision)
    for name in ('teacher', 'dmd', 'asd'):
        one = stage(name, size, how)
        seconds = race({name: partial(next, map(one.train_step, count()))}, 1 if machine.dry else 7, machine.device)
        yield Value(name, size.batch / median(seconds[name]), unit='clips/s')


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    precisions = ('bf16',) if machine.dry else ('fp32', 'bf16')
    return [
        *[Check(f'writing, {precision}', partial(writing, machine, precision, batch))
          for precision in precisions for batch in ((1,) if machine.dry else (1, 64))],
        *[Check(f'learning, {precision}', partial(learning, machine, precision)) for precision in precisions],
    ]
