"""What a check is, how checks run within their time, and what is kept of them.

A check is a function that yields values. A value has a bound, or it is a figure that is only reported."""
from __future__ import annotations

import gc
import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

OK, FAILED, ERROR, LEFT_OUT, FIGURE = 'ok', 'failed', 'error', 'left out', 'figure'


@dataclass(frozen=True)
class Value:
    "One number that a check has found. It has at most one bound; without a bound it is a figure."

    what: str
    value: float
    most: float | None = None
    least: float | None = None
    unit: str = ''
    note: str = ''

    @property
    def verdict(self) -> str:
        "Whether it is within its bound; a number that is not finite is not."
        if not math.isfinite(self.value):
            return FAILED
        if self.most is None and self.least is None:
            return FIGURE
        small = self.most is None or self.value <= self.most
        large = self.least is None or self.value >= self.least
        return OK if small and large else FAILED


@dataclass
class Machine:
    "Where the checks run, and until when."

    device: torch.device
    ends: float = math.inf
    "the time of `time.monotonic` at which the part shall be over"

    @property
    def dry(self) -> bool:
        "Whether this is a trial without a CUDA device: then everything is small."
        return self.device.type != 'cuda'

    def left(self) -> float:
        "Seconds that are left."
        return self.ends - time.monotonic()


@dataclass(frozen=True)
class Check:
    "One check: its name, the function that makes it, and the kinds of devices on which it makes sense."

    name: str
    run: Callable[[], Iterable[Value]]
    devices: tuple[str, ...] = ('cuda', 'cpu')
    needs: float = 0.
    "seconds; with less it is not begun on a device"


@dataclass(frozen=True)
class Row:
    "A line of the result."

    part: str
    check: str
    what: str
    value: float | None
    unit: str
    most: float | None
    least: float | None
    verdict: str
    seconds: float
    note: str = ''


class LeftOut(Exception):
    "A check cannot be made here; the message says why. That is no failure."


def run_checks(part: str, checks: Iterable[Check], machine: Machine) -> Iterator[Row]:
    "Run the checks of a part one after another. Whatever happens in one does not stop the others."
    for check in checks:
        yield from run_check(part, check, machine)


def run_check(part: str, check: Check, machine: Machine) -> list[Row]:
    "The rows of one check: one for each value, or one that says why there is none."
    if machine.device.type not in check.devices:
        return [without_value(part, check, LEFT_OUT, f'is for {" and ".join(check.devices)}')]
    if machine.left() <= (0 if machine.dry else check.needs):
        return [without_value(part, check, LEFT_OUT, 'the time of this part is over')]
    began, values, problem = time.monotonic(), [], None
    try:
        for value in check.run():
            values.append(value)
    except LeftOut as reason:
        problem = without_value(part, check, LEFT_OUT, str(reason))
    except ModuleNotFoundError as missing:
        problem = without_value(part, check, LEFT_OUT, f'needs the package {missing.name}')
    except Exception as error:
        traceback.print_exc()
        problem = without_value(part, check, ERROR, in_words(error))
    seconds = round((time.monotonic() - began) / max(1, len(values)), 2)
    clean_up(machine)
    rows = [with_value(part, check, value, seconds) for value in values]
    return rows if problem is None else [*rows, problem]


def with_value(part: str, check: Check, value: Value, seconds: float) -> Row:
    "The row of a value. JSON has no infinite numbers; they become None."
    number = float(f'{value.value:.5g}') if math.isfinite(value.value) else None
    note = value.note if math.isfinite(value.value) else f'not finite: {value.value}'
    return Row(
        part, check.name, value.what, number, value.unit, value.most, value.least, value.verdict, seconds, note
    )


def without_value(part: str, check: Check, verdict: str, note: str) -> Row:
    "The row of a check that has found nothing."
    return Row(part, check.name, '', None, '', None, None, verdict, 0., note)


def in_words(error: Exception) -> str:
    "An exception on one line, with the place in our own code from which it comes."
    frames = [f for f in traceback.extract_tb(error.__traceback__) if 'site-packages' not in f.filename]
    place = f' ({Path(frames[-1].filename).name}, line {frames[-1].lineno})' if frames else ''
    return f'{type(error).__name__}: {" ".join(str(error).split())[:300]}{place}'


def clean_up(machine: Machine) -> None:
    "Forget compiled graphs, and give memory back to the device."
    torch._dynamo.reset()
    gc.collect()
    if machine.device.type == 'cuda':
        torch.cuda.empty_cache()
