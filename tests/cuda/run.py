"""Everything that can only be seen on a CUDA device, in less than ten minutes: `make cuda`, or python tests/cuda/run.py

It needs torch, diffusers and this repository, which need not be installed. It compares the device with the CPU,
measures speed and memory, and writes data/results/cuda.json and a table beside it, cuda.md.
With `--device cpu` everything runs once on small sizes, as a trial; `--device meta` looks at what must stay there."""
from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import torch
from checks import ERROR, FAILED, LEFT_OUT, Check, Machine, Row, run_checks
from table import markdown, one_line

PARTS = ('steps', 'passes', 'wan', 'split', 'speed', 'large', 'memory', 'compiled')
"each is a file beside this one"
NEEDED = ('diffusers', 'filelock', 'numpy', 'safetensors', 'tqdm')
"what the repository imports here; all of it comes with diffusers"
GRACE = 60.
"seconds that a part may take beyond its time before it is ended"


def options(words: Sequence[str] | None) -> argparse.Namespace:
    "What the user asks for."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cuda', help='cuda, cuda:1, or for a trial cpu or meta')
    parser.add_argument('--parts', nargs='+', default=PARTS, choices=PARTS, help='which parts; all of them')
    parser.add_argument('--minutes', type=float, default=1.1, help='of a part; what it leaves goes to the next ones')
    parser.add_argument('--out', type=Path, help='the JSON file; data/results/cuda.json, or a trial below out/')
    parser.add_argument('--rows', type=Path, help=argparse.SUPPRESS)      # a part in a process of its own writes here
    return parser.parse_args(words)


# parts

def import_again(part: str) -> Iterator:
    "Import a part that could not be imported, so that its check fails with the reason."
    yield importlib.import_module(part)


def checks_of(part: str, machine: Machine) -> list[Check]:
    "The checks of a part; if it cannot be imported, one check that says why."
    try:
        return importlib.import_module(part).checks(machine)
    except Exception:
        return [Check('the whole part', partial(import_again, part), ('cuda', 'cpu', 'meta'))]


def part_here(part: str, device: torch.device, seconds: float) -> Iterator[Row]:
    "Run a part in this process."
    from asdvideo.devices import runtime

    runtime(device)         # fp32 is fp32, also in convolutions
    machine = Machine(device, time.monotonic() + seconds)
    yield from run_checks(part, checks_of(part, machine), machine)


def part_apart(part: str, device: torch.device, seconds: float) -> Iterator[Row]:
    "Run a part in a process of its own: a device in a bad state, or a part that hangs, ends with it."
    with tempfile.TemporaryDirectory() as folder:
        file, problem = Path(folder)/'rows', ''
        words = ['--parts', part, '--device', str(device), '--minutes', str(seconds / 60), '--rows', str(file)]
        try:
            done = subprocess.run([sys.executable, __file__, *words], timeout=seconds + GRACE)
            problem = f'its process ended with {done.returncode}' if done.returncode else ''
        except subprocess.TimeoutExpired:
            problem = f'it was ended after {seconds + GRACE:.0f} seconds; give it more --minutes, if it does not hang'
        for line in file.read_text().splitlines() if file.exists() else ():
            yield Row(**json.loads(line))
        if problem:
            yield Row(part, 'the whole part', '', None, '', None, None, ERROR, 0., problem)


def run_parts(parts: Sequence[str], device: torch.device, minutes: float, run: Callable) -> list[Row]:
    "Run the parts in order. Time that a part leaves goes to the next ones."
    began, rows = time.monotonic(), []
    for number, part in enumerate(parts, 1):
        left = began + 60 * minutes * number - time.monotonic()
        try:
            rows += run(part, device, left)
        except KeyboardInterrupt:
            rows.append(Row(part, 'the whole part', '', None, '', None, None, LEFT_OUT, 0., 'stopped by the user'))
            break
    return rows


def one_part(chosen: argparse.Namespace) -> int:
    "In a process for one part: run it, and write every row as soon as it is there."
    with open(chosen.rows, 'w') as file:
        for row in part_here(chosen.parts[0], torch.device(chosen.device), 60 * chosen.minutes):
            print(one_line(row), flush=True)
            file.write(json.dumps(dataclasses.asdict(row)) + '\n')
            file.flush()
    return 0


def shown(part: str, device: torch.device, seconds: float) -> Iterator[Row]:
    "Run a part in this process, and show every row as soon as it is there."
    for row in part_here(part, device, seconds):
        print(one_line(row), flush=True)
        yield row


# the whole

def about(device: torch.device) -> dict:
    "What the machine is."
    from asdvideo.bench import machine

    facts = machine(device)
    if device.type == 'cuda':
        card = torch.cuda.get_device_properties(device)
        facts |= {'memory': round(card.total_memory / 1e9, 1), 'capability': f'{card.major}.{card.minor}'}
        facts['cuda'] = torch.version.cuda
    return facts


def why_not(device: str) -> str:
    "Why nothing can be run on a device; empty if it can."
    kind = device.partition(':')[0]
    if kind not in ('cuda', 'cpu', 'meta'):
        return f'device {device!r}: expected cuda, cpu or meta.'
    if kind == 'cuda' and not torch.cuda.is_available():
        return 'there is no CUDA device here. Add --device cpu for a trial of everything else.'
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return f'not installed here: {", ".join(missing)}. Run `pip install torch diffusers` first.' if missing else ''


def main(words: Sequence[str] | None = None) -> int:
    "Run what is asked for. Returns 0 if every bound holds, 1 if one does not, 2 if nothing could be run."
    chosen = options(words)
    problem = why_not(chosen.device)
    if problem:
        print('cuda:', problem, file=sys.stderr)
        return 2
    if chosen.rows:
        return one_part(chosen)
    device, began = torch.device(chosen.device), time.monotonic()
    facts = about(device)
    run = part_apart if device.type == 'cuda' else shown
    rows = run_parts(chosen.parts, device, chosen.minutes, run)
    facts['seconds'] = round(time.monotonic() - began)
    file = chosen.out or ROOT/('data/results/cuda.json' if device.type == 'cuda' else f'out/cuda-{device.type}.json')
    file.parent.mkdir(parents=True, exist_ok=True)
    result = {'machine': facts, 'rows': [dataclasses.asdict(row) for row in rows]}
    file.write_text(json.dumps(result, indent=1, allow_nan=False) + '\n')
    file.with_suffix('.md').write_text(markdown(facts, rows))
    print('\n' + markdown(facts, rows) + f'\nwritten to {file} and {file.with_suffix(".md")}')
    return 1 if any(row.verdict in (FAILED, ERROR) for row in rows) else 0


if __name__ == '__main__':
    sys.exit(main())
