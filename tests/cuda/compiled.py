"Two steps of every training with compiled blocks, and speed with them. Compiling takes most of the time."
from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from cases import STAGES, compare, on, outcome, sizes, stage, truth
from checks import Check, Machine, Value
from steps import BOUNDS
from torch._dynamo.utils import counters


def compiled_step(machine: Machine, name: str) -> Iterator[Value]:
    "Two steps with compiled blocks in fp32. Without a device the graphs are made but not compiled."
    size, counted = sizes(machine), counters['stats']
    counted.clear()
    backend = 'eager' if machine.dry else 'inductor'
    done = outcome(stage(name, size, on(machine.device, compiled=True), backend))
    yield from compare(done, truth(name, size), BOUNDS['fp32'])
    yield Value('graphs', counted['unique_graphs'], most=32)


def checks(machine: Machine) -> list[Check]:
    "All checks of this part. A judge has no blocks."
    names = ['teacher', 'dmd'] if machine.dry else [name for name in STAGES if name != 'judge']
    needs = {'dmd': 60., 'asd': 60.}
    return [
        Check(f'{name}, compiled', partial(compiled_step, machine, name), needs=needs.get(name, 20.)) for name in names
    ]
