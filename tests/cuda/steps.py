"Two steps of every training on the device against two steps on the CPU; and whether a step makes the CPU wait."
from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

import torch
from cases import STAGES, Sizes, compare, on, outcome, sizes, stage, truth
from checks import Check, Machine, Value

# logs, gradients, ways: ten times what rounding does on a CPU, see `tests/test_cuda.py`
BOUNDS = {'fp32': (1e-2, 1e-2, 1e-2), 'bf16': (.1, .2, .3)}


def step(machine: Machine, name: str, precision: str) -> Iterator[Value]:
    "Two steps in one precision."
    size = sizes(machine)
    yield from compare(outcome(stage(name, size, on(machine.device, precision))), truth(name, size), BOUNDS[precision])


def stays(machine: Machine, name: str) -> Iterator[Value]:
    "On the meta device: everything stays there, and nothing asks for a number."
    one = stage(name, sizes(machine), on(machine.device))
    logs = [value for number in range(2) for value in one.train_step(number).values()]
    weights = [p for learner in one.learners.values() for p in learner.params]
    elsewhere = [x for x in (*logs, *weights) if x.device.type != machine.device.type]
    yield Value('tensors elsewhere', len(elsewhere), most=0)


def waits(machine: Machine, name: str) -> Iterator[Value]:
    "How often a step makes the CPU wait for the device; the note says where."
    one = stage(name, Sizes(), on(machine.device))
    for number in range(2):
        one.train_step(number)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            one.train_step(2)
        finally:
            torch.cuda.set_sync_debug_mode('default')
    places = {f'{w.filename.rpartition("/")[2]}:{w.lineno}' for w in found if 'synchroniz' in str(w.message)}
    count = sum('synchroniz' in str(w.message) for w in found)
    yield Value('times', count, most=0, note=', '.join(sorted(places)))


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    found = [
        Check(f'{name}, {precision}', partial(step, machine, name, precision))
        for precision in BOUNDS for name in STAGES
    ]
    found += [Check(f'{name} stays', partial(stays, machine, name), ('meta',)) for name in STAGES]
    return found + [Check(f'{name} does not wait', partial(waits, machine, name), ('cuda',)) for name in STAGES]
