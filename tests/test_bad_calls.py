"""More than two thousand bad calls: each ends in our own error, in one sentence that names the value and what is allowed.

Wrong is what `doors` knows to be wrong for an argument of its kind; the good calls stand in `good_calls`.
"""
from __future__ import annotations

import contextlib
import math
import re
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from doors import Door
from good_calls import Shelf, all_doors, messages

from asdvideo.errors import AsdError

SECONDS, ROOM = 5, 2 ** 31
SENTENCE = re.compile(r'[^\n]{3,900}[.)!]', re.DOTALL)


class TooLong(BaseException):
    "A call did not come back."


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    "Inside, memory for 2 GB more can be had, and no more."
    if not sys.platform.startswith('linux'):
        yield
        return
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    "Inside, a call that takes too long ends in `TooLong`."
    def ring(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(call: Any, args: dict[str, Any]) -> str:
    "What is wrong with the way in which a bad call ends; nothing if it is as it should be."
    try:
        with limited():
            result = call(**args)
    except AsdError as error:
        return '' if SENTENCE.fullmatch(str(error)) else f'a poor message: {str(error)[:200]!r}'
    except TooLong:
        return f'more than {SECONDS} seconds'
    except Exception as error:
        return f'{type(error).__name__}: {str(error)[:120]}'
    return f'accepted: {str(result)[:60]!r}'


@pytest.fixture(scope='module')
def doors(tmp_path_factory) -> list[Door]:
    torch.manual_seed(0)
    return all_doors(Shelf(tmp_path_factory.mktemp('shelf')))


def test_bad_calls(doors):
    calls = [(door.call, name, args) for door in doors for name, args in door.bad_calls()]
    with bounded():
        found = {name: outcome(call, args) for call, name, args in calls}
    plt.close('all')
    faults = [f'{name}: {what}' for name, what in found.items() if what]
    assert len(calls) > 1000
    assert not faults, f'{len(faults)} of {len(calls)}:\n' + '\n'.join(faults)
