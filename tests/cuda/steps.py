"Two steps of every training on the device against two steps on the CPU; and whether a step makes the CPU wait."
from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from cases import STAGES, compare, on, outcome, sizes, stage, truth
from checks import Check, Machine, Value
from waits import waits

# logs, gradients, ways: ten times what rounding does on a CPU, see `tests/test_cuda.py`
BOUNDS = {'fp32': (1e-2, 1e-2, 1e-2), 'bf16': (.1, .2, .3)}


def step(machine: Machine, name: str, precision: str) -> Iterator[Value]:
    "Two steps in one precision."
    size = sizes(machine)
    yield from compare(outcome(stage(name, size, on(machine.device, precision))), truth(name, size), BOUNDS[precision])


def stays(machine: Machine, name: str) -> Iterator[Value]:
    "On the meta device: all logs and weights are there; every other use of a number raises."
    one = stage(name, sizes(machine), on(machine.device))
    logs = [value for number in range(2) for value in one.train_step(number).values()]
    weights = [p for learner in one.learners.values() for p in learner.params]
    elsewhere = [x for x in (*logs, *weights) if x.device.type != machine.device.type]
    yield Value('tensors elsewhere', len(elsewhere), most=0)


def never_waits(machine: Machine, name: str) -> Iterator[Value]:
    "How often the third step makes the CPU wait for the device; the note says where."
    one = stage(name, sizes(machine), on(machine.device))
    for number in range(2):
        one.train_step(number)
    with waits(machine.device) as places:
        one.train_step(2)
    yield Value('times', len(places), most=0, note=', '.join(sorted(set(places))))


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    found = [
        Check(f'{name}, {precision}', partial(step, machine, name, precision))
        for precision in BOUNDS for name in STAGES
    ]
    found += [Check(f'{name} stays', partial(stays, machine, name), ('meta',)) for name in STAGES]
    return found + [Check(f'{name} does not wait', partial(never_waits, machine, name), ('cuda', 'meta')) for name in STAGES]
