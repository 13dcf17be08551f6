"""A program that trains every stage through the command line and kills it: by Ctrl-C, by SIGTERM, by SIGKILL.

It is a process of its own that never trains itself. It imports torch once, and forks a child for every command.
Usage: python kills.py FOLDER SEED KILLS; the last line that it prints is what happened, as JSON.
"""
import dataclasses
import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from asdvideo import commands
from asdvideo.cli import main, parse
from asdvideo.digits import load_digits
from asdvideo.files import listing, load_tensors
from asdvideo.recipes import Recipe, tiny
from asdvideo.settings import Settings, changed

STAGES = ('judge', 'teacher', 'ar', 'paths', 'init', 'dmd', 'asd')


def recipe() -> Recipe:
    "A tiny recipe whose trainings are long enough to be hit."
    small = tiny()
    longer = {name: changed(getattr(small, name), steps=8) for name in STAGES if name != 'paths'}
    return changed(small, paths=changed(small.paths, count=16, shard=2), **longer)


def words(settings: Settings, prefix: str = '') -> list[str]:
    "The options of the command line that ask for these settings."
    found: list[str] = []
    for field in dataclasses.fields(settings):
        name, value = f'{prefix}{field.name.replace("_", "-")}', getattr(settings, field.name)
        if isinstance(value, Settings):
            found += words(value, f'{name}.')
        elif isinstance(value, bool):
            group, dot, last = name.rpartition('.')
            found += [f'--{name}' if value else f'--{group}{dot}no-{last}']
        else:
            found += [f'--{name}', *map(str, value if isinstance(value, tuple) else (value,))]
    return found


def begin(stage: str, small: Recipe, home: Path, said: Path) -> int:
    "Start the training of a stage in a child; its number."
    child = os.fork()
    if child:
        return child
    with open(said, 'w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    options = ['--folder', str(home), '--save-seconds', '0', '--device', 'cpu', *words(getattr(small, stage))]
    code = 70
    try:
        code = main(['train', stage, *options])
    finally:
        sys.stderr.flush()
        os._exit(code)


def finish(child: int) -> int:
    "The exit code of a child, or minus the number of the signal that killed it."
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def wait_for_save(child: int, folder: Path, pattern: str) -> bool:
    "Whether the child has saved something before its end."
    before = {path: path.stat().st_mtime_ns for path in listing(folder, pattern)}
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = {path: path.stat().st_mtime_ns for path in listing(folder, pattern)}
        if now != before:
            return True
        time.sleep(.001)
    return False


def said_at_the_end(said: Path) -> list[str]:
    "What the command told its user, without the progress bar."
    text = re.sub(r'[^\r\n]*\r', '', said.read_text())
    return [line for line in text.splitlines() if line.startswith(('asdvideo:', 'Traceback'))]


def result(home: Path, stage: str) -> dict[str, Any]:
    "What the stage has published: tensors by file, and what is said about the training."
    folder = home/'runs'/'paths' if stage == 'paths' else home/'weights'
    pattern = '*.safetensors' if stage == 'paths' else f'{stage}*.safetensors'
    found: dict[str, Any] = {}
    for path in listing(folder, pattern):
        tensors, description = load_tensors(path)
        found |= {f'{path.name} {name}': tensor for name, tensor in tensors.items()}
        training = description.get('training', {})
        training.get('paths', {}).pop('teacher', None)      # the hash of a file that also says how long it took
        found[path.name] = [training, description.get('record', {}).get('history')]
    return found


def differing(ours: dict[str, Any], truth: dict[str, Any]) -> list[str]:
    "The names of all things that are not equal in every bit."
    def same(name: str) -> bool:
        a, b = ours.get(name), truth.get(name)
        return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b

    return sorted(name for name in {*ours, *truth} if not same(name))


def trial(stage: str, small: Recipe, homes: tuple[Path, Path], draw: random.Random, kills: int) -> dict[str, Any]:
    "Train a stage without a stop, then with many, and compare."
    whole, broken = homes
    said, began = whole/'said.txt', time.monotonic()
    codes, ends = [finish(begin(stage, small, whole, said))], []
    seconds = time.monotonic() - began
    folder = broken/'runs'/stage
    for number in (signal.SIGINT, signal.SIGTERM, *[signal.SIGKILL] * kills):
        child = begin(stage, small, broken, said)
        if number == signal.SIGKILL:
            time.sleep(draw.uniform(.02, .7 * seconds))
        else:
            wait_for_save(child, folder, '*.safetensors')
        os.kill(child, number)
        ends.append([number.name, finish(child), said_at_the_end(said)])
    codes.append(finish(begin(stage, small, broken, said)))
    codes.append(finish(begin(stage, small, broken, said)))         # a second time: it is finished already
    ours, truth = result(broken, stage), result(whole, stage)
    left = [path.name for path in folder.rglob('.*.part')]
    return {'codes': codes, 'ends': ends, 'things': len(truth), 'differing': differing(ours, truth), 'left': left}


def warm() -> None:
    "Load what every child needs, so that none of them has to."
    parse(commands.TrainJudge, [], 'asdvideo train judge')
    torch.optim.AdamW([torch.zeros(1)])
    for part in ('train', 'judge'):
        load_digits(part)


def run(folder: Path, seed: int, kills: int) -> dict[str, Any]:
    "All stages, in order; each starts from what the ones before have made."
    small, draw, homes = recipe(), random.Random(seed), (folder/'whole', folder/'broken')
    for home in homes:
        home.mkdir()
    warm()
    commands.FULL = small                   # the command line trains the tiny recipe
    return {stage: trial(stage, small, homes, draw, kills) for stage in STAGES}


if __name__ == '__main__':
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
