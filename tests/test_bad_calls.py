"""Thousands of bad calls: each ends in our own error, in a sentence that names the value and what is allowed.

Wrong is what `doors` knows to be wrong for an argument of its kind; the good calls stand in `good_calls`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
import re
import resource
import signal
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from doors import TYPES, hints_of, is_checked, outside, typed_calls
from good_calls import Shelf, all_doors, bad_commands, messages

import asdvideo
from asdvideo.cli import main
from asdvideo.errors import AsdError
from asdvideo.interface import HOME
from asdvideo.live import Session, reply
from asdvideo.pictures import save_video
from asdvideo.sampling import generate
from asdvideo.settings import Settings, changed

SECONDS, ROOM = 5, 2**31
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

    before = {number: signal.signal(number, ring) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)       # of computing
    signal.alarm(20 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


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
def shelf(tmp_path_factory) -> Shelf:
    torch.manual_seed(0)
    return Shelf(tmp_path_factory.mktemp('shelf'))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def faults_of(calls: list[tuple[str, Any, dict[str, Any]]]) -> str:
    "What is wrong with the ends of some bad calls, one in a line."
    with bounded():
        found = {name: outcome(call, args) for name, call, args in calls}
    plt.close('all')
    return '\n'.join(f'{name}: {what}' for name, what in found.items() if what)


def test_bad_calls(shelf, capfd):
    doors = all_doors(shelf)
    calls = [(name, door.call, args) for door in doors for name, args in door.bad_calls()]
    assert len(calls) > 5000
    faults = faults_of(calls)
    assert not faults, faults


LONG = ('play', 'train', 'export_onnx', 'export_page')  # these serve, train for hours, compile, or fetch something


def test_good_calls(shelf, capfd):
    "Otherwise the bad calls would say nothing."
    for door in all_doors(shelf):
        if not door.name.startswith(('load_wan', 'read_tensors', 'Paths', 'Prompts', 'study', *LONG)):
            found = outcome(door.call, {name: arg.good for name, arg in door.args.items()})
            assert found.startswith('accepted'), f'{door.name}: {found}'
    plt.close('all')


def test_every_name_at_the_front_door_is_tried(shelf):
    tried = {re.split(r'[ .(]', door.name)[0] for door in all_doors(shelf)}
    contracts = {'AsdError', 'Denoiser', 'KVCache', 'World', 'Stage', 'Settings', 'setting'}  # nothing to call
    contracts |= {'load_clips', 'OwnClips', 'ClipReference'}  # they are tried in tests/test_clips.py
    settings = {
        name
        for name in HOME
        if isinstance(getattr(asdvideo, name), type) and issubclass(getattr(asdvideo, name), Settings)
    }
    other = {'changed': 'settings', 'CausalWanPipeline': 'check_inputs', 'Sampler': 'generate'}
    missing = set(HOME) - tried - contracts - settings
    assert {name for name in missing if other.get(name) not in tried} == set()


def modules() -> Iterator[Any]:
    "All modules of the package but those that only check."
    for found in pkgutil.walk_packages(asdvideo.__path__, 'asdvideo.'):
        if '.verify' not in found.name and not found.name.endswith(('__init__', '_modidx', 'wan', 'lab')):
            yield importlib.import_module(found.name)


# A name is public if it stands in `__all__` of a module that does more than check. These take data from outside and
# have no door of their own, because of what is said here.
INNER = {
    'errors': 'they are the checks',
    'book': 'they turn our own notebooks into pages',
    'cli': 'they take words, which test_bad_commands brings',
    'commands': 'they get settings and samplers; test_bad_commands brings the words',
    'bench': 'they measure our own networks; test_bad_commands and test_bad_settings bring the words',
    'clips': 'tests/test_clips.py brings bad films, labels and files',
    'evaluation': 'they get recipes and names that `known` has let in; test_bad_commands brings the words',
    'lab.campaign': 'they get runs of our own plan; test_bad_commands brings the words',
    'lab.report': 'they get our own results, which test_bad_commands replaces by bad files',
    'distributed': 'they get what a stage has let in',
    'wan.memory': 'they get settings',
    'wan.model': 'between the blocks of a network, which checks its input; they are compiled',
    **dict.fromkeys(
        ('transformer.rotate', 'transformer.sigma_embedding', 'speed.whole_context', 'denoiser.cat_rows',
         'denoiser.split_rows', 'denoiser.join_conditions', 'rollout.denoise_chunk', 'rollout.keep_groups',
         'rollout.group_levels', 'judge.frames_to_judge', 'pictures.check_visible', 'pictures.film_pages',
         'lab.curves.film_pages', 'export.runner', 'export.play_passes', 'first_frame.seen_change',
         'rollout.denoise_groups', 'speed.whole_wan_context', 'learner.clip_gradients'),
        'in the middle of a pass; what calls it has checked the same data',
    ),
    **dict.fromkeys(
        ('training.mean_logs', 'stopping.flatten', 'stopping.unflatten', 'training.save_state', 'stopping.is_record',
         'training.resume', 'training.numbers', 'training.check_norms', 'stopping.stopped', 'shards.split_files',
         'files.provenance', 'files.data_path', 'settings.differences'),
        'parts of saving and resuming; tests/test_faults.py and tests/test_kills.py bring damaged files',
    ),
    **dict.fromkeys(
        ('first_frame.written_out', 'first_frame.measure_way', 'first_frame.front', 'first_frame.first_frame',
         'lab.students.fresh', 'lab.students.beginners', 'lab.students.rival_stage', 'lab.students.lab_stage',
         'lab.students.asd_settings',
         'recipes.fresh_network', 'recipes.own_clips', 'recipes.world_of', 'recipes.sampler_of', 'sampling.windowed',
         'sampling.check_length', 'wan.training.wan_head', 'wan.training.wan_stage', 'wan.training.make_paths',
         'live.check_host', 'wan.checkpoints.check_fit'),
        'they get settings, networks or names that a door before them has let in',
    ),
    **dict.fromkeys(
        ('first_frame.draw_laboratory', 'lab.curves.draw_curves', 'lab.curves.draw_drift_line',
         'lab.curves.draw_forest', 'long.draw_drift'),
        'they draw our own results',
    ),
    'live.reply': 'test_bad_messages',
    'live.serving': 'play opens it',
    'settings.setting': 'it stands in our own classes',
    'settings.limits': 'it reads our own classes',
    'long.one_digit_each': '`asdvideo long` brings the number',
    'long.measure_steps': '`asdvideo long` brings settings and students',
    'devices.compile_blocks': 'it gets a runtime',
    'devices.memory_left': 'tests/test_sizes.py',
    'devices.check_memory': 'tests/test_sizes.py; it is asked in every draw',
}


def public() -> Iterator[tuple[str, Any]]:
    "Every public name of the package with its module, and what it is."
    for module in modules():
        for name in module.__all__:
            thing_ = getattr(module, name)
            if (inspect.isfunction(thing_) or isinstance(thing_, type)) and thing_.__module__ == module.__name__:
                yield f'{module.__name__.removeprefix("asdvideo.")}.{name}', thing_


def checked_doors() -> Iterator[tuple[str, Any, Any]]:
    "Every public function, method and constructor with `checked` above it: name, what to call, the function."
    for name, thing_ in public():
        if inspect.isfunction(thing_) and is_checked(thing_):
            yield name, thing_, thing_
        for method, found in vars(thing_).items() if isinstance(thing_, type) else ():
            plain = found.__func__ if isinstance(found, (classmethod, staticmethod)) else found
            if inspect.isfunction(plain) and is_checked(plain):
                yield f'{name}.{method}', thing_ if method == '__init__' else getattr(thing_, method), plain


def test_every_type_is_checked():
    "Every argument of every door of the package, with what fits no annotation."
    calls = [call for name, call, function in checked_doors() for call in typed_calls(name, call, function)]
    assert len(calls) > 3000
    faults = faults_of(calls)
    assert not faults, faults


def test_every_public_function_has_a_door(shelf):
    "All that take data from outside are tried; the others are in the table above, and nothing else is."
    tried = {re.split(r'[ (]', door.name)[0].split('.')[-1] for door in all_doors(shelf)}
    tried |= {name.rpartition('.')[2] for name, _, _ in checked_doors()}
    missing, known = [], set()
    for name, function in public():
        if not inspect.isfunction(function) or name.rpartition('.')[2] in tried:
            continue
        if any(map(outside, hints_of(function).values())):
            found = name if name in INNER else name.rpartition('.')[0]
            known.add(found)
            missing += [name] if found not in INNER else []
    assert not missing, missing
    assert set(INNER) == known, set(INNER) - known


def all_settings() -> list[Settings]:
    "Settings of every kind, as they are when nobody says otherwise."
    kinds = [kind for module in modules() for kind in vars(module).values() if isinstance(kind, type)]
    own = {
        kind
        for kind in kinds
        if issubclass(kind, Settings) and dataclasses.is_dataclass(kind) and dataclasses.fields(kind)
    }
    return [kind() for kind in sorted(own, key=str)]


def bad_settings(one: Settings) -> Iterator[tuple[str, Any]]:
    "Names and values that these settings must refuse."
    hints = typing.get_type_hints(type(one))
    for field in dataclasses.fields(one):
        hint, facts = hints[field.name], field.metadata
        kinds = {hint, *typing.get_args(hint)}
        bad = {name: value for name, value in TYPES.items() if name not in ('a text', 'a Unicode digit')}
        bad |= {'a text': 'no such'} if facts['choices'] or str not in kinds else {}
        bad |= {} if type(None) in kinds else {'None': None}
        if type(None) in kinds:
            del bad['None']
        if {int, float} & kinds:
            bad |= {'NaN': math.nan, 'inf': math.inf, 'huge': 10**400, 'low': facts['low'] - 1, 'True': True}
            bad |= {'high': facts['high'] + 1} if math.isfinite(facts['high']) else {}
        if typing.get_origin(hint) is tuple:
            bad |= {'empty': (), 'of None': (None,), 'of a dict': ({},)}
        if any(isinstance(kind, type) and issubclass(kind, Settings) for kind in kinds):
            bad |= {'unknown names': {'no such': 1}}
            del bad['a dict']
        if facts.get('empty'):
            del bad['empty'], bad['a list']
        for what, value in bad.items():
            yield f'{type(one).__name__}.{field.name}: {what}', {field.name: value}


def test_bad_settings():
    calls = []
    for one in all_settings():
        calls += [(name, changed, {'settings': one, **args}) for name, args in bad_settings(one)]
    assert len(calls) > 1500
    faults = faults_of(calls)
    assert not faults, faults


def test_bad_messages(shelf):
    session = Session({'student': (shelf.windowed, shelf.steps)}, (1, 16, 16))
    for message in messages():
        with limited():
            answer = reply(session, message)
        assert set(answer) == {'error'} and 0 < len(answer['error']) < 900, f'{message[:60]!r}: {answer}'
    assert 'students' in reply(session, json.dumps({'digit': 7, 'direction': 'right', 'steps': '1', 'seed': 0}))


def test_bad_commands(shelf, capsys, monkeypatch):
    monkeypatch.setenv('ASDVIDEO_DATA', str(shelf.folder/'data'))
    for words in bad_commands(shelf):
        with bounded(), limited():
            code = main(words)
        out, err = capsys.readouterr()
        said = ' '.join(words)[:200]
        assert code == 2 and err.count('\n') == 1 and err.startswith('asdvideo: '), f'{said}: {code} {err[:300]}'
        assert len(err) < 1200 and not list(Path.cwd().rglob('*.safetensors')), said


def test_values_that_are_wrong_are_in_the_message(shelf, tmp_path):
    "A message names the value, what is allowed, and a remedy."
    video = generate(shelf.sampler, '1', shelf.told)
    with pytest.raises(AsdError, match=r"steps '5': expected 1 to 4.*For example 1\* or 4,1,1,1\."):
        generate(shelf.sampler, '5', shelf.told)
    with pytest.raises(AsdError, match=r'kind of file=.*\.avi.*expected one of \.mp4, \.gif, \.png'):
        save_video(tmp_path/'a.avi', video)
    with pytest.raises(AsdError, match=r'fps=-1: expected a finite number from 0\.1 to 1000'):
        save_video(tmp_path/'a.gif', video, -1)


def test_a_check_that_holds_writes_nothing(shelf, monkeypatch, capfd):
    "Good calls of every door: no tensor is written out, and no message is built."
    doors = [door for door in all_doors(shelf) if not door.name.startswith(('load_wan', 'study', 'fit', 'save', *LONG))]
    written: list[str] = []
    plain = torch.Tensor.__repr__

    def note(tensor: torch.Tensor, **more: Any) -> str:
        written.append('a tensor')
        return plain(tensor, **more)

    monkeypatch.setattr(torch.Tensor, '__repr__', note)
    for name in ('in_words', 'hint_in_words'):
        monkeypatch.setattr(f'asdvideo.errors.{name}', lambda *args: written.append('a message') or '')
    for door in doors:
        with limited(), contextlib.suppress(AsdError):
            door.call(**{name: arg.good for name, arg in door.args.items()})
        assert not written, f'{door.name}: {written}'
    plt.close('all')
    with pytest.raises(AsdError):
        generate(3, '1', shelf.told)
    assert written


def test_the_test_can_fail():
    def echo(x: Any) -> Any:
        return x

    def broken(x: Any) -> None:
        raise KeyError(x)

    def endless(x: Any) -> None:
        signal.raise_signal(signal.SIGALRM)

    def mumbling(x: Any) -> None:
        raise AsdError('no')

    for call, what in ((echo, 'accepted'), (broken, 'KeyError'), (endless, 'more than'), (mumbling, 'a poor message')):
        assert outcome(call, {'x': 3}).startswith(what)
    with bounded():
        assert outcome(torch.zeros, {'size': (2**31,)}).startswith('RuntimeError')
