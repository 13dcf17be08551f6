"""Golden values: the shipped networks write the stored videos, and the laboratory gives the stored numbers.

A change that alters them on purpose, or another weight file, needs `python tests/test_golden.py`, which writes
`golden.json` anew. Whoever does so looks at the difference first.
"""

from __future__ import annotations

import functools
import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import avg_pool2d

from asdvideo.cache import RingCache
from asdvideo.denoiser import Condition, Denoiser
from asdvideo.digits import SteeredDigits, ask
from asdvideo.evaluation import evaluate
from asdvideo.files import data_path, listing
from asdvideo.lab.law import Modes, disagreement, follow
from asdvideo.lab.measures import measure_points
from asdvideo.lab.students import ToySettings, beginners, lab_stage, real_points
from asdvideo.lab.worlds import NAMES, GaussianMixture, WorldSettings, point_world
from asdvideo.measures import Reference, load_judge
from asdvideo.randomness import Draws, stream
from asdvideo.recipes import FULL
from asdvideo.sampling import Sampler, generate, load
from asdvideo.schedule import Schedule
from asdvideo.settings import changed
from asdvideo.stream import VideoStream

FILE = Path(__file__).with_name('golden.json')
STORED: dict[str, dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else {}
BOUNDS = {
    'videos': (0., 2e-3),
    'shares': (0., .07),        # a clip of the 16 counts 1 / 16
    'looks': (.02, 0.),
    'law': (1e-5, 1e-6),
    'worlds': (1e-3, 3e-4),     # measures are rounded to four places
    'training': (5e-3, 1e-4),
}
"the largest difference that is allowed, as a share and beside it; processors round differently"
CLIPS = 16
ARMS = ('dmd', 'asd', 'sid')
SCORE = Modes.score


def sha256(path: Path) -> str:
    "The hash of a file, as `sha256sum` prints it."
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights() -> dict[str, str]:
    "The hash of every shipped network."
    return {path.stem: sha256(path) for path in listing(data_path('weights'))}


def makers() -> list[str]:
    "The shipped networks that write videos."
    return [name for name in weights() if name != 'judge' and not name.endswith('_head')]


def picture(video: torch.Tensor) -> list[float]:
    "Mean and standard deviation of a video, and its first, middle and last frame in 36 squares each."
    frames = video[0, [0, video.shape[1] // 2, -1]]
    return [video.mean().item(), video.std().item(), *avg_pool2d(frames, 4).flatten().tolist()]


def streamed(sampler: Sampler) -> torch.Tensor:
    "A video that is longer than those of the training, written by the student into a ring: (1, 14, 1, 24, 24)."
    net, condition = sampler.endless, Condition(labels=torch.tensor([[[3, 1]]]))
    schedule = Schedule.parse('1*', sampler.step_list)
    video = VideoStream(net, (1, 24, 24), schedule, condition, seeds=5, cache=RingCache(net.layout))
    return torch.cat(list(islice(video, 7)), 1)


def videos(sampler: Sampler) -> dict[str, list[float]]:
    "What a network writes from fixed noise: a student in 1, 2 and 4 steps and streamed, a teacher in 4 Euler steps."
    told = ask('7,right', sampler.frames, sampler.chunk)
    if not sampler.student:
        return {'4': picture(generate(sampler, 4, told, seed=5))}
    found = {steps: picture(generate(sampler, steps, told, seed=5)) for steps in ('1', '2', '4')}
    return {**found, 'streamed': picture(streamed(sampler))}


@functools.cache
def clips() -> Reference:
    "Real clips to compare with."
    return Reference.of_world(load_judge('cpu'), SteeredDigits(FULL.world, 'test'), CLIPS)


def measures(sampler: Sampler) -> dict[str, float]:
    "A tiny evaluation in one step."
    return evaluate(sampler, 1, 'both', clips()).numbers


def law() -> dict[str, list[float]]:
    "Densities, scores and guesses of a law, and where its flows lead."
    weight = torch.tensor([.2, .3, .5], dtype=torch.double)
    means = torch.tensor([[-1., 0.], [1., .5], [0., 1.]], dtype=torch.double)
    one = Modes(weight, means, .4)
    x = torch.randn(5, 2, generator=stream(0, 'golden'), dtype=torch.double)
    found = {'density': one.log_density(x, .3), 'score': one.score(x, .3), 'guess': one.guess(x, .3)}
    clouds = torch.randn(3, 4, 2, generator=stream(1, 'golden'), dtype=torch.double)
    found |= {flow: follow(clouds, one, flow, 5)[-1] for flow in ('unified', 'adversarial', 'both', 'told')}
    line = [Modes(weight, means[:, :1] + shift, .4) for shift in (0., .3)]
    found['disagreement'] = disagreement(line, torch.linspace(-6, 6, 601, dtype=torch.double)[:, None])
    return {name: value.flatten().tolist() for name, value in found.items()}


def worlds() -> dict[str, list[float]]:
    "Of every exact world samples, densities, velocities, and measures of other samples."
    found = {}
    for name in NAMES:
        world = point_world(WorldSettings(name=name))
        video, condition = world.sample(Draws([stream(0, 'golden')], 3))
        sigma = torch.full(video.shape[:2], .4)
        seen = world.posterior(video, sigma, world.label(condition, 3))
        found[name] = [*video.flatten()[:12].tolist(), *seen.log_density.tolist()]
        found[name] += world(video, sigma, condition).flatten()[:12].tolist()
        other, _ = world.sample(Draws([stream(1, 'golden')], 128))
        row = measure_points(world, other, real_points(world, 128))
        found[f'{name} measured'] = [value for value in row.values() if isinstance(value, float)]
    return found


@functools.cache
def beginner() -> tuple[ToySettings, GaussianMixture, Denoiser]:
    "The ring, and where its students start."
    settings = ToySettings(steps=8, batch=8, wait=0, start_steps=2, ratio=.1)
    world = point_world(settings.world)
    return settings, world, beginners(settings, world)


def training(arm: str) -> dict[str, list[float]]:
    "What four steps of a student of the ring log, one of each step count: losses, lengths of gradients, norms."
    settings, world, start = beginner()
    stage, logs = lab_stage(changed(settings, arm=arm), world, start), {}
    for step in range(4):
        logs |= stage.train_step(step)
    counted = ('wins',)     # a share of few videos jumps
    return {f'{arm} {name}': [value.item()] for name, value in sorted(logs.items()) if not name.startswith(counted)}


def network_sections(name: str) -> dict[str, dict[str, list[float]]]:
    "The sections of a shipped network."
    sampler = load(name, 'cpu')
    found = {'videos': {f'{name} {how}': values for how, values in videos(sampler).items()}}
    if sampler.student:
        numbers = measures(sampler)
        found['shares'] = {name: [numbers[key] for key in ('digit', 'direction', 'coverage', 'nothing')]}
        found['looks'] = {name: [numbers[key] for key in ('ink', 'sharpness', 'jerk', 'frechet')]}
    return found


def rounded(values: list[float]) -> list[float]:
    "Numbers as the file keeps them."
    return [float(f'{value:.6g}') for value in values]


def different(section: str, found: dict[str, list[float]]) -> list[str]:
    "The names of a section whose numbers are not those that are stored, within the bound of the section."
    share, beside = BOUNDS[section]
    names = []
    for name, values in found.items():
        stored = STORED[section].get(name, [])
        close = [abs(a - b) <= share * abs(b) + beside for a, b in zip(values, stored)]
        if len(values) != len(stored) or not all(close):
            names.append(name)
    return names


@pytest.mark.parametrize('name', makers())
def test_a_shipped_network_does_what_it_did(name):
    assert STORED['weights'].get(name) == weights()[name], f'another {name}: run python tests/test_golden.py'
    for section, found in network_sections(name).items():
        assert not different(section, found)


def test_every_shipped_network_has_golden_values():
    assert STORED['weights'] == weights(), 'other weight files: run python tests/test_golden.py'
    assert {name.split()[0] for name in STORED['videos']} == set(makers())


def test_another_weight_file_is_noticed(tmp_path):
    path = data_path('weights', 'asd.safetensors')
    other = tmp_path/path.name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    assert sha256(other) != sha256(path) == STORED['weights']['asd']


def test_scaled_weights_are_noticed():
    sampler = load('asd', 'cpu')
    for weight in sampler.net.parameters():
        weight.mul_(1.01)
    told = ask('7,right', sampler.frames, sampler.chunk)
    assert different('videos', {'asd 1': picture(generate(sampler, '1', told, seed=5))})
    assert different('videos', {'asd streamed': picture(streamed(sampler))})


def test_the_laboratory_gives_the_stored_numbers():
    assert not different('law', law()) and not different('worlds', worlds())
    assert STORED['law'].keys() == law().keys() and STORED['worlds'].keys() == worlds().keys()


@pytest.mark.parametrize('arm', ARMS)
def test_a_student_of_the_ring_learns_as_it_did(arm):
    assert not different('training', training(arm))


def test_another_laboratory_is_noticed(monkeypatch):
    monkeypatch.setattr(Modes, 'score', lambda self, x, sigma=0.: 1.0001 * SCORE(self, x, sigma))
    assert 'score' in different('law', law())


def golden() -> dict[str, dict[str, Any]]:
    "All sections."
    found: dict[str, dict[str, Any]] = {name: {} for name in BOUNDS}
    for name in makers():
        for section, values in network_sections(name).items():
            found[section] |= values
    found['law'], found['worlds'] = law(), worlds()
    for arm in ARMS:
        found['training'] |= training(arm)
    return found


def text(sections: dict[str, dict[str, Any]]) -> str:
    "JSON with one entry on each line."
    parts = []
    for section, entries in sections.items():
        lines = [f'  {json.dumps(name)}: {json.dumps(value)}' for name, value in entries.items()]
        parts.append(f' {json.dumps(section)}: {{\n' + ',\n'.join(lines) + '\n }')
    return '{\n' + ',\n'.join(parts) + '\n}\n'


def remake() -> None:
    "Write the file anew, and say what is different."
    made = {name: {key: rounded(values) for key, values in entries.items()} for name, entries in golden().items()}
    others = [key for name, entries in made.items() if name in STORED for key in different(name, entries)]
    FILE.write_text(text({'weights': weights(), **made}))
    print(f'{FILE}: {"changed: " + ", ".join(others) if others else "no number has changed"}.')


if __name__ == '__main__':
    remake()
