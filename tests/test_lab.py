"""The laboratory: every arm takes a step, worlds keep their promises, bad settings are refused."""

import pytest
import torch

from asdvideo.errors import AsdError
from asdvideo.lab.students import ARMS, ToySettings, beginners, lab_stage
from asdvideo.lab.worlds import NAMES, WorldSettings, point_world
from asdvideo.randomness import Draws, stream
from asdvideo.settings import changed


@pytest.fixture(scope='module')
def start():
    settings = ToySettings(seeds=(3, 4), steps=4, wait=0, batch=4, start_steps=1)
    world = point_world()
    return settings, world, beginners(settings, world)


@pytest.mark.parametrize('arm', ARMS)
def test_every_arm_moves_every_member(arm, start):
    settings, world, net = start
    stage = lab_stage(changed(settings, arm=arm), world, net)
    stage.train_step(0)
    before, after = dict(net.named_parameters()), dict(stage.student.model.named_parameters())
    for member in range(2):
        assert any(not torch.equal(before[k][member], after[k][member]) for k in before)


@pytest.mark.parametrize('name', NAMES)
def test_components_follow_the_labels(name):
    world = point_world(WorldSettings(name=name))
    _, condition, component = world.draw(Draws([stream(0, 'test')], 500))
    assert torch.equal(world.label_of[component], condition.labels[:, 0, 0])


@pytest.mark.parametrize('values', [{'jitter': 0.}, {'name': 'spiral'}, {'frames': 7}, {'modes': 0}])
def test_bad_worlds_are_refused(values):
    with pytest.raises(AsdError):
        point_world(WorldSettings(**values))
