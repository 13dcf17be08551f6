"""Every whole number that the command line takes, tried at sizes that nobody has memory for, at 0 and at -1.

Run as a program in a process of its own: FOLDER; it prints one line of JSON for every call. Its memory is limited, and
a call that goes to work is stopped after some computing, as Ctrl-C would stop it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import resource
import shutil
import signal
import sys
import traceback
import typing
from collections.abc import Iterator
from pathlib import Path

VALUES = 10**7, 10**12, 0, -1
ROOM = 3 * 2**30
SECONDS = 1.       # of computing, before a work that has begun is stopped; seeds and zeros get a fifth of it


def whole_numbers(kind: type, prefix: str = '') -> Iterator[tuple[str, int, int]]:
    "The options of a command that are whole numbers, with their limits."
    from asdvideo.settings import Settings

    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        name = (prefix + field.name).replace('_', '-')
        if isinstance(field.default, Settings):
            yield from whole_numbers(type(field.default), prefix if field.name in ('stage', 'settings') else f'{name}.')
        elif int in {hint, *typing.get_args(hint), *(a for h in typing.get_args(hint) for a in typing.get_args(h))}:
            yield f'--{name}', field.metadata['low'], field.metadata['high']


def calls(folder: Path) -> Iterator[tuple[list[str], bool]]:
    "The words of every call, and whether its value is within the limits of the option."
    from asdvideo.commands import KINDS

    outs = {
        'sample': ['--out', f'{folder}/a.png'],
        'gallery': ['--out', f'{folder}/films'],
        'play': ['--no-browser'],
        'reproduce': ['--size', 'tiny', '--folder', f'{folder}/tiny'],
        'campaign': ['--folder', f'{folder}/campaign', '--only', 'kicks'],
    }
    quick = ['--batch', '8', '--block', '8', '--fake-rounds', '1']        # a training stops between two steps only
    for name, kind in KINDS.items():
        home = 'fresh' if name == 'train paths' else 'home'
        more = ['--folder', f'{folder}/{home}', '--restart'] if name.startswith('train ') else outs.get(name, [])
        more = [*more, *quick] if name in ('train dmd', 'train asd') else more
        for option, low, high in whole_numbers(kind):
            for value in VALUES:
                own = f'{folder}/{len(option)}{option[2:5]}{value}'
                more = ['--out', own] if name == 'toy' else more
                yield [*name.split(), *more, option, str(value)], low <= value <= high


def furnish(folder: Path) -> None:
    "A home with networks and paths, so that every training can begin."
    from asdvideo.causal import causal
    from asdvideo.checkpoints import publish
    from asdvideo.denoiser import CausalLayout
    from asdvideo.digits import SteeredDigits
    from asdvideo.files import data_path
    from asdvideo.initialisation import record_paths
    from asdvideo.recipes import FULL
    from asdvideo.sampling import load
    from asdvideo.settings import changed
    from asdvideo.transformer import NetworkConfig, VideoTransformer

    home = folder/'home'
    shutil.copytree(data_path('weights'), home/'weights')
    teacher = load('teacher', 'cpu')
    publish(causal(teacher.net, CausalLayout(2)), home/'weights'/'ar.safetensors', **teacher.facts())
    small = causal(VideoTransformer(NetworkConfig(width=16, heads=2, depth=1)), CausalLayout(2))
    settings = changed(FULL.paths, count=2, shard=2, steps=4)
    record_paths(small, SteeredDigits(FULL.world), FULL.step_list, settings, home/'runs'/'paths', 'x', quiet=True)
    shutil.copytree(home/'weights', folder/'fresh'/'weights')


def attempt(words: list[str], seconds: float) -> str:
    "The end of a call: its code and the last line on the error stream, or WRONG and what is wrong."
    from asdvideo.cli import main

    def stop(number: int, frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        return f'WRONG {traceback.format_exc()[-600:]}'
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    said = err.getvalue().splitlines()
    if code in (0, 130) or (code == 2 and said and said[-1].startswith('asdvideo: ') and len(said[-1]) < 1200):
        return f'{code} {"".join(said[-1:])[:300]}'
    return f'WRONG {code} {err.getvalue()[-600:]}'


def everything(folder: Path) -> None:
    "All calls."
    import matplotlib.pyplot  # noqa: F401 before the limit
    import torch

    from asdvideo.cli import main
    from asdvideo.commands import KINDS  # noqa: F401

    torch.set_num_threads(1)
    furnish(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        main(['sample', '--out', f'{folder}/first.png'])
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for words, allowed in calls(folder):
        short = allowed and (words[-1] == '0' or 'seed' in words[-2])
        end = attempt(words, SECONDS / 5 if short else SECONDS)
        print(json.dumps({'words': words, 'allowed': allowed, 'end': end}), flush=True)


if __name__ == '__main__':
    os.environ['ASDVIDEO_DEVICE'] = 'cpu'
    everything(Path(sys.argv[1]))
