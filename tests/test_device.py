"""The `meta` device stands in for a GPU: an operation between it and a stray CPU tensor raises, as on CUDA,
and so does everything that would make the CPU wait for the device. Every stage does whole steps there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from asdvideo.asd import TARGETS, WEIGHTS, AsdStage
from asdvideo.causal import causal
from asdvideo.denoiser import CausalLayout
from asdvideo.devices import Runtime
from asdvideo.dmd import DmdStage
from asdvideo.flow import euler
from asdvideo.learner import LearnerSettings
from asdvideo.rollout import Noise, rollout
from asdvideo.schedule import STEP_NAMES, Schedule
from asdvideo.teacher import Guided, TeacherSettings, TeacherStage
from asdvideo.verify.cases import STEPS, clip, small, tiny_stage, tiny_world

META = torch.device('meta')


def teacher(forcing: bool, runtime: Runtime) -> TeacherStage:
    "A tiny training of a teacher."
    learner = LearnerSettings(muon=True, average=.9)
    settings = TeacherSettings(steps=4, batch=4, block=2, forcing=forcing, learner=learner)
    net = small(grad=True)
    return TeacherStage(settings, causal(net, CausalLayout(2)) if forcing else net, tiny_world(), runtime=runtime)


def build(name: str, device: torch.device) -> Any:
    "A tiny training by its name."
    kind, _, option = name.partition(' ')
    runtime = Runtime(device)
    if kind == 'teacher':
        return teacher(option == 'forced', runtime)
    options: dict[str, Any] = {'counts': (1, 2), 'runtime': runtime}
    options['told'] = option in ('told', *WEIGHTS)
    if option == 'full':
        options |= {'first_full': True, 'guidance': 1.}
    if option in TARGETS:
        options['target'] = option
    if option in WEIGHTS:
        options['weight'] = option
    return tiny_stage(DmdStage if kind == 'dmd' else AsdStage, **options)


NAMES = ['teacher', 'teacher forced', 'dmd', 'dmd told', 'dmd full']
NAMES += [f'asd {option}' for option in (*TARGETS, *WEIGHTS)]


@pytest.mark.parametrize('name', NAMES)
def test_training_steps_stay_on_their_device(name: str) -> None:
    stage = build(name, META)
    assert all(value.device == META for value in stage.train_step(0).values())
    nets = nn.ModuleList(learner.model for learner in stage.learners.values())
    assert all(p.device == META for p in nets.parameters())


@pytest.mark.parametrize('name', NAMES)
def test_the_same_steps_are_finite_on_the_cpu(name: str) -> None:
    stage = build(name, torch.device('cpu'))
    for step in range(2):
        for key, value in stage.train_step(step).items():
            assert torch.isfinite(value), key


def test_sampling_stays_on_its_device() -> None:
    net, told = causal(small(), CausalLayout(2)).to(META), clip()[2].to(META)
    noise = Noise((2, 6, 1, 8, 8), 0, CausalLayout(2), META)
    for name in STEP_NAMES:
        assert rollout(Guided(net, 2.), noise, Schedule.parse(name, STEPS), told).device == META
    assert euler(small().to(META), torch.zeros(2, 6, 1, 8, 8, device=META), told, 3).device == META


def test_the_stand_in_can_fail() -> None:
    with pytest.raises(RuntimeError):
        torch.zeros(2, device=META) + torch.ones(2)
    with pytest.raises(RuntimeError):
        torch.zeros((), device=META).item()
