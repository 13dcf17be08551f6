"Sizes that nobody has memory for are refused before anything is made; every number has a limit."

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import torch
from sizes import VALUES
from test_bad_calls import all_settings

from asdvideo.devices import UNWATCHED, check_memory, memory_left
from asdvideo.errors import AsdError
from asdvideo.randomness import Draws, stream
from asdvideo.transformer import NetworkConfig, VideoTransformer


def test_every_number_has_limits():
    open_ended = []
    for one in all_settings():
        hints = typing.get_type_hints(type(one))
        for field in dataclasses.fields(one):
            kinds = {hints[field.name], *typing.get_args(hints[field.name])}
            if {int, float} & kinds and not all(map(math.isfinite, (field.metadata['low'], field.metadata['high']))):
                open_ended.append(f'{type(one).__name__}.{field.name}')
    assert not open_ended


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='limits of memory are those of Linux')
def test_every_whole_number_of_every_command(tmp_path):
    "In a process with 3 GB to spare: our own error, or work that begins and can be stopped."
    child = Path(__file__).with_name('sizes.py')
    surroundings = {**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg'}
    words = [sys.executable, str(child), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=surroundings, cwd=tmp_path, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [f'{row["words"]}: {row["end"]}' for row in rows if row['end'].startswith('WRONG')]
    assert not wrong, '\n'.join(wrong)
    assert len(rows) > 120 * len(VALUES)
    accepted = [row['words'] for row in rows if not row['allowed'] and not row['end'].startswith('2 ')]
    assert not accepted
    refused = {' '.join(row['words'][:2]) for row in rows if 'GB of memory' in row['end']}
    assert refused >= {'train judge', 'train teacher', 'train init', 'train asd', 'evaluate --videos'}


def test_memory_that_is_left():
    here = torch.empty(1).device
    assert 0 < memory_left(here) < 1e15 and memory_left('meta') == math.inf
    check_memory('n', 1, UNWATCHED / 4 - 1)
    check_memory('n', 1, 1e18, 'meta')
    with pytest.raises(AsdError, match=r'n=7: expected what fits into .* GB of memory; this needs 4,000,000'):
        check_memory('n', 7, 1e15)
    with pytest.raises(AsdError, match='Take less'):
        check_memory('n', 7, 1e15, remedy='Take less.')


def test_small_requests_do_not_look_at_the_machine(monkeypatch):
    def never(*args: object) -> float:
        raise AssertionError('the machine was asked')

    monkeypatch.setattr('asdvideo.devices.memory_left', never)
    Draws([stream(0, 'a')], 2).normal(12, 1, 24, 24)
    with pytest.raises(AssertionError):
        check_memory('n', 1, UNWATCHED)


def test_what_is_kept_for_gradients_is_a_low_estimate():
    "Between a third of what autograd keeps, and all of it."
    config = NetworkConfig(size=16, width=64, depth=3, heads=2)
    net, shape, kept = VideoTransformer(config), (4, 1, 16, 16), {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    weights = {p.data_ptr() for p in net.parameters()}
    from asdvideo.denoiser import Condition

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(torch.randn(8, *shape), torch.full((8, 4), 0.5), Condition())
    found = sum(size for pointer, size in kept.items() if pointer not in weights)
    assert found / 3 < 8 * net.kept(shape) < found, (found, 8 * net.kept(shape))
