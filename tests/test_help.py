"""What a newcomer meets first: `help` of every public name, and how long it takes until something is there."""

from __future__ import annotations

import inspect
import re
import resource
import subprocess
import sys
from typing import Any

import pytest

import asdvideo
from asdvideo.settings import Settings, setting

IMPORT, HELP = .3, .5
"limits in seconds of processor time"


def explained(thing: Any) -> list[str]:
    "The parameters of a function or class that its help does not explain on a line of their own."
    text = inspect.getdoc(thing) or ''
    names = [name for name in inspect.signature(thing).parameters if name not in ('args', 'kwargs')]     # torch's
    return [name for name in names if not re.search(rf'^{name}: \S', text, re.M)]


@pytest.mark.parametrize('name', asdvideo.__all__)
def test_help_explains_every_parameter(name):
    assert not explained(getattr(asdvideo, name))


def test_a_missing_parameter_is_noticed():
    def bad(x: int, y: int) -> int:
        """A sum.

        x: one number.
        """
        return x + y

    assert explained(bad) == ['y']


def test_settings_explain_their_fields_and_those_of_their_parents():
    text = inspect.getdoc(asdvideo.AsdSettings)
    first, *rest = text.split('\n\n')
    assert first == 'Settings of adversarial self-distillation.' and text.count('\nratio: ') == 1
    assert 'videos per update and step count; 1 to 1e+09' in text and 'see `LearnerSettings`' in text

    class Late(Settings):
        "A class that nobody has made a dataclass yet."

        size: int = setting(3, 'how large', low=2, high=9)

    assert explained(Late) == [] and 'size: how large; 2 to 9' in Late.__doc__


def seconds(*words: str) -> float:
    "Processor time of a fresh Python, the best of three; of the last two it has the compiled files."
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_the_door_opens_at_once():
    assert seconds('-c', 'import asdvideo') <= IMPORT


def test_help_is_there_at_once():
    assert seconds('-c', 'from asdvideo.cli import main; main(["--help"])') <= HELP


def test_a_slow_door_would_be_noticed():
    busy = f'import time\nwhile time.process_time() < {HELP}: pass'
    assert seconds('-c', busy) >= HELP > IMPORT
