"""Good calls of every function that a user may call, and for each of their arguments values that are wrong.

A door is a function with arguments that work. Each argument is of a kind, and a kind knows what is wrong for it:
another type, another shape, a number that is none, a size that nobody has memory for. What is wrong in general and
right for one argument is named in `right`.
"""

from __future__ import annotations

import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HUGE = 10**12


@dataclass
class Arg:
    "An argument: a value that works, and by name values that do not."

    good: Any
    bad: dict[str, Any] = field(default_factory=dict)


@dataclass
class Door:
    "A function, arguments that work, and which of the wrong values are right here, as 'argument: name'."

    name: str
    call: Callable[..., Any]
    args: dict[str, Arg]
    right: tuple[str, ...] = ()

    def bad_calls(self) -> Iterator[tuple[str, dict[str, Any]]]:
        "Every call with one wrong argument, and its name."
        good = {name: arg.good for name, arg in self.args.items()}
        for name, arg in self.args.items():
            for what, value in arg.bad.items():
                if f'{name}: {what}' not in self.right:
                    yield f'{self.name}({name}: {what})', {**good, name: value}


def without(bad: dict[str, Any], right: str) -> dict[str, Any]:
    "Wrong values, but for some names."
    return {name: value for name, value in bad.items() if name not in right.split(', ')}


# kinds of arguments


def same(good: Any) -> Arg:
    "An argument that is left alone."
    return Arg(good)


TYPES = {
    'None': None,
    'a text': 'text',
    'a Unicode digit': '٣',
    'bytes': b'3',
    'a list': [],
    'a dict': {},
    'an object': object(),
    'a type': int,
    'a complex number': 1j,
}


def whole(good: Any, low: int = 0, high: int = HUGE - 1, right: str = '') -> Arg:
    "A whole number."
    numbers = {'a half': 1.5, 'NaN': math.nan, 'inf': math.inf, 'too low': low - 1, 'far too low': -HUGE, 'True': True}
    return Arg(good, without({**TYPES, **numbers, 'too high': high + 1, 'past 64 bits': 2**70}, right))


def seed(good: int = 0, right: str = '') -> Arg:
    "A seed: any whole number."
    return whole(good, right='too low, far too low, too high' + (f', {right}' if right else ''))


def number(good: float, low: float = -math.inf, high: float = math.inf, right: str = '') -> Arg:
    "A number in a range."
    bad: dict[str, Any] = {**TYPES, 'NaN': math.nan, 'inf': math.inf, '-inf': -math.inf, 'past 64 bits': 10**400}
    bad |= {'too low': low - 1} if math.isfinite(low) else {}
    bad |= {'too high': high + 1} if math.isfinite(high) else {}
    return Arg(good, without(bad, right))


def text(good: str, right: str = '') -> Arg:
    "One of some texts."
    words = {'empty': '', 'another word': 'no such', 'a zero byte': '\0', 'far too long': 'x' * 100_000, 'a number': 3}
    bad = {name: value for name, value in TYPES.items() if name != 'a text'}
    return Arg(good, without({**bad, **words, 'a negative number': '-1', 'a half': '1.5'}, right))


def thing(good: Any, right: str = '') -> Arg:
    "An object of our own."
    return Arg(good, without({**TYPES, 'a number': 3, 'a class': type(good)}, right))


def tensor(good: Tensor, right: str = '') -> Arg:
    "A tensor of floating point numbers."
    bad = {**TYPES, 'a number': 3.0, 'an axis less': good[0], 'an axis more': good[None], 'nothing': good[:0]}
    odd = good.clone()
    odd.view(-1)[0] = math.nan
    bad |= {'NaN': odd, 'inf': odd.nan_to_num(math.inf), 'complex': good + 0j, 'booleans': good > 0}
    bad |= {'one row': good[:1]} if len(good) > 1 else {}
    bad |= {'one column': good[:, :1]} if good.dim() > 1 and good.shape[1] > 1 else {}
    bad |= {'one row more': torch.cat([good, good[:1]])}
    return Arg(good, without(bad, right))


def labels(good: Tensor, right: str = '') -> Arg:
    "A tensor of whole numbers."
    bad = {**TYPES, 'a number': 3, 'an axis less': good[0], 'an axis more': good[None], 'nothing': good[:0]}
    bad |= {'fractions': good + 0.5, 'far too high': good + 1000, 'one row': good[:1]}
    return Arg(good, without(bad, right))


def several(good: Any, *worse: Any, right: str = '') -> Arg:
    "A list of something."
    bad = {**without(TYPES, 'a list'), 'empty': (), 'a number': 3, 'of None': [None], 'of texts': ['text']}
    return Arg(good, without({**bad, **{f'worse {i}': value for i, value in enumerate(worse)}}, right))


def wrong_names(right: str = '') -> dict[str, Any]:
    "What is no name of a file, wherever it shall be."
    bad = {'None': None, 'a number': 3, 'a list': [], 'empty': '', 'a blank': ' ', 'a zero byte': 'a\0b'}
    return without({**bad, 'far too long': 'x' * 5000, 'a dict': {}, 'an object': object()}, right)


def to_write(good: Any, folder: Path, right: str = '', ending: str = '') -> Arg:
    "A file that will be written."
    (folder/'a file').write_text('{}')
    (folder/f'a folder{ending}').mkdir(exist_ok=True)
    bad = {'a folder': folder/f'a folder{ending}', 'below a file': folder/'a file'/f'x{ending}'}
    return Arg(good, without({**wrong_names(), **bad, 'not allowed': f'/proc/x{ending}'}, right))


def to_read(good: Any, folder: Path, right: str = '') -> Arg:
    "A file that will be read."
    whole_file = Path(good).read_bytes()
    middle = len(whole_file) // 2
    contents = {
        'an empty file': b'',
        'a few bytes': b'\0\1\2\3',
        'a text file': b'hello\n' * 100,
        'JSON': b'[1, 2, 3]',
        'half a file': whole_file[:middle],
        'one bit': whole_file[:middle] + bytes([whole_file[middle] ^ 4]) + whole_file[middle + 1 :],
    }
    bad: dict[str, Any] = {**wrong_names(), 'a missing file': folder/'missing', 'a folder': folder}
    for name, content in contents.items():
        bad[name] = folder/f'{name}{Path(good).suffix}'
        bad[name].write_bytes(content)
    return Arg(good, without(bad, right))


def drained(call: Callable[..., Iterator[Any]]) -> Callable[..., list[Any]]:
    "A function that takes everything out of an iterator."

    def run(**args: Any) -> list[Any]:
        return list(call(**args))

    return run


def entered(call: Callable[..., Any]) -> Callable[..., Any]:
    "A function that goes into a context and out again."

    def run(**args: Any) -> Any:
        with call(**args) as found:
            return found

    return run


def doors_of(*parts: Sequence[Door]) -> list[Door]:
    "Several lists as one."
    return [door for part in parts for door in part]


# every door that checks types: what fits no annotation


ODD = {**TYPES, 'a half': 1.5, 'NaN': math.nan, 'inf': math.inf, 'True': True, 'a number': 3, 'a tensor': torch.ones(2)}
GROUPS = (Sequence, Mapping, Iterable, list, tuple, dict, set)


def fits(value: object, hint: Any) -> bool:
    "Whether a value may be meant by an annotation; also where that is hard to say."
    kind = typing.get_origin(hint) or hint
    if kind in (typing.Union, types.UnionType):
        return any(fits(value, option) for option in typing.get_args(hint))
    if not isinstance(kind, type) or kind in (Any, object, Callable) or getattr(kind, '_is_protocol', False):
        return True
    if kind in (int, float) and isinstance(value, (int, float)):
        return not isinstance(value, bool) and math.isfinite(value) and (kind is float or isinstance(value, int))
    if issubclass(kind, GROUPS):
        return isinstance(value, (list, tuple, dict, str, bytes, Tensor, type))
    return isinstance(value, kind)


def hints_of(function: Any) -> dict[str, Any]:
    "The annotations of the parameters; what only a type checker imports counts as anything."
    function = inspect.unwrap(function)
    notes = {name: note for name, note in function.__annotations__.items() if name != 'return'}
    found = {}
    for name, note in notes.items():
        try:
            found |= typing.get_type_hints(types.SimpleNamespace(__annotations__={name: note}), function.__globals__)
        except NameError:
            found[name] = Any
    return found


def is_checked(function: Any) -> bool:
    "Whether `checked` stands above a function."
    code = getattr(inspect.unwrap(function, stop=lambda f: f.__code__.co_name == 'call'), '__code__', None)
    return code is not None and code.co_name == 'call' and Path(code.co_filename).stem == 'errors'


def typed_calls(name: str, call: Callable, function: Callable) -> Iterator[tuple[str, Callable, dict[str, Any]]]:
    """Calls of a function with one argument that fits no annotation; the check of types comes before all else.

    name: of the function.
    call: what is called: the function, or the class whose constructor it is.
    function: that has the annotations.
    """
    plain = inspect.unwrap(function)
    hints = hints_of(plain)
    for parameter in inspect.signature(plain).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.name in hints:
            for what, value in ODD.items():
                if not fits(value, hints[parameter.name]):
                    yield f'{name}({parameter.name}: {what})', call, {parameter.name: value}


def outside(hint: Any) -> bool:
    "Whether an annotation lets data in that come from outside: tensors, numbers, texts, paths."
    if typing.get_args(hint):
        return any(map(outside, typing.get_args(hint)))
    return hint in (int, float, str, bytes, Tensor, Path, os.PathLike, object, Any)
