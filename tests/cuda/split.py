"FSDP2 with one process: the same steps as without it."
from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from cases import compare, on, outcome, sizes, stage
from checks import Check, Machine, Value
from steps import BOUNDS


def split(machine: Machine, name: str, precision: str) -> Iterator[Value]:
    "Two steps with split weights and without, both on the device."
    from asdvideo.distributed import Processes

    size, how = sizes(machine), on(machine.device, precision)
    ours = outcome(stage(name, size, how, group=Processes(shard=True)))
    yield from compare(ours, outcome(stage(name, size, how)), BOUNDS[precision])


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    pairs = [(name, precision) for name in ('dmd', 'asd') for precision in BOUNDS]
    if machine.dry:
        pairs = [('dmd', 'bf16'), ('asd', 'fp32')]
    return [
        Check(f'{name}, FSDP2 with one process, {precision}', partial(split, machine, name, precision))
        for name, precision in pairs
    ]
