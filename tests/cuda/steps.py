"Two steps of every training on the device against two steps on the CPU; and whether a step makes the CPU wait."
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from cases import STAGES, compare, on, outcome, sizes, stage, truth
from checks import Check, Machine, Value
from waits import waits

from asdvideo.training import Stage

# logs, gradients, ways; bf16 on a CPU reaches .04, .01 and .05 on small sizes
BOUNDS = {'fp32': (1e-2, 1e-2, 1e-2), 'bf16': (.1, .2, .3)}


def step(machine: Machine, name: str, precision: str) -> Iterator[Value]:
    "Two steps in one precision."
    size = sizes(machine)
    yield from compare(outcome(stage(name, size, on(machine.device, precision))), truth(name, size), BOUNDS[precision])


def at_home(device: torch.device, make: Callable[[], Stage]) -> Iterator[Value]:
    """All logs and weights stay on the device, and the third step never makes the CPU wait for it; the note says where.

    On the meta device the use of a number would raise."""
    one = make()
    for number in range(2):
        one.train_step(number)
    with waits(device) as places:
        logs = one.train_step(2)
    weights = [p for learner in one.learners.values() for p in learner.params]
    elsewhere = [x for x in (*logs.values(), *weights) if x.device.type != device.type]
    yield Value('tensors elsewhere', len(elsewhere), most=0)
    yield Value('waits', len(places), most=0, note=', '.join(sorted(set(places))))


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    found = [
        Check(f'{name}, {precision}', partial(step, machine, name, precision))
        for precision in BOUNDS for name in STAGES
    ]
    for name in STAGES:
        make = partial(stage, name, sizes(machine), on(machine.device))
        found.append(Check(f'{name} stays at home', partial(at_home, machine.device, make), ('cuda', 'meta')))
    return found
