"""The laboratory: every arm takes a step, worlds keep their promises, bad settings are refused."""

from functools import partial

import pytest
import torch

from asdvideo.cache import RingCache
from asdvideo.causal import by_chunks, causal
from asdvideo.denoiser import CausalLayout
from asdvideo.errors import AsdError
from asdvideo.lab.students import ARMS, Corrected, ToySettings, beginners, lab_stage, measure_student, play
from asdvideo.lab.worlds import NAMES, WorldSettings, point_world
from asdvideo.randomness import Draws, stream
from asdvideo.settings import changed
from asdvideo.transformer import VideoTransformer


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


@pytest.mark.parametrize('chunk', [1, 2])
def test_a_corrected_world_is_the_same_with_a_cache(chunk):
    layout, world = CausalLayout(chunk), point_world()
    net = VideoTransformer(ToySettings(width=16).network(world), layout)
    for p in net.parameters():
        p.data += .2 * torch.randn(p.shape, generator=stream(0, tuple(p.shape)))
    model = Corrected(causal(world, layout), net)
    video, condition = world.sample(Draws([stream(0, 'cached')], 3))
    sigma = torch.rand(3, 6, generator=stream(1, 'cached')) * .8 + .1
    with torch.no_grad():
        masked, cached = model(video, sigma, condition), by_chunks(model, video, sigma, condition)
    torch.testing.assert_close(cached, masked, atol=2e-5, rtol=1e-4)
    assert (masked - model.world(video, sigma, condition)).abs().max() > .01


@torch.no_grad()
def test_an_ensemble_writes_into_a_ring(start):
    _, world, net = start
    video, condition = world.sample(Draws([stream(0, 'ring')], 4))
    sigma = torch.full((4, 6), .3)
    plain = by_chunks(net, video, sigma, condition)
    assert torch.equal(by_chunks(net, video, sigma, condition, RingCache(net.layout, 6)), plain)


@pytest.mark.parametrize('name', NAMES)
def test_components_follow_the_labels(name):
    world = point_world(WorldSettings(name=name))
    _, condition, component = world.draw(Draws([stream(0, 'test')], 500))
    assert torch.equal(world.label_of[component], condition.labels[:, 0, 0])


@pytest.mark.parametrize('values', [{'jitter': 0.}, {'name': 'spiral'}, {'frames': 7}, {'modes': 0}])
def test_bad_worlds_are_refused(values):
    with pytest.raises(AsdError):
        point_world(WorldSettings(**values))


def second_level(stage):
    "The level of the second of two steps in training."
    return round(stage.schedule(2).of(0)[1], 6)


def setting_of(stage, name):
    "A setting of a stage."
    return getattr(stage.settings, name)


FACTORS = {
    'jumps': ({'jumps': 'all'}, partial(setting_of, name='jumps'), 'last', 'all'),
    'reading': ({'step_list__reading': 'respaced'}, second_level, .75, .5),
    'level shift': ({'step_list__shift': 3.}, second_level, .75, .9),
    'list': ({'step_list__count': 2}, partial(setting_of, name='counts'), (1, 2, 3, 4), (1, 2)),
    'modes': ({'world__modes': 4}, lambda stage: len(stage.world.means), 16, 8),
    'told': ({'world__told': 'nothing'}, lambda stage: stage.world.labels, (2,), (1,)),
    'spread': ({'world__shift': .3}, lambda stage: stage.world.shift, .15, .3),
}


@pytest.mark.parametrize('name', FACTORS)
def test_a_factor_reaches_the_training(name, start):
    changes, read, before, after = FACTORS[name]
    plain, world, net = start
    settings = changed(plain, **changes)
    assert read(lab_stage(plain, world, net)) == before
    world = point_world(settings.world)
    stage = lab_stage(settings, world, beginners(settings, world))
    assert read(stage) == after
    stage.train_step(0)


@pytest.mark.parametrize('weight', ['measured', 'following'])
@pytest.mark.parametrize('ratio', [.1, .3, 1.])
def test_the_push_has_its_ratio_and_its_kind(ratio, weight, start):
    settings, world, net = start
    stage = lab_stage(changed(settings, arm='asd', ratio=ratio, weight=weight), world, net)
    assert (stage.weight.ratio, stage.weight.kind) == (ratio, weight)


def test_a_student_can_be_measured_in_another_reading_than_it_was_trained_in(start):
    settings, world, net = start
    settings = changed(settings, videos=40)
    other = changed(settings, measured='respaced')
    assert lab_stage(other, world, net).schedule(2).of(0) == (1., .75)
    for one in (settings, other):
        wanted = play(net, world, one.measured_list, ['2'], 40, [12345])['2']
        assert torch.equal(measure_student(net, world, one)[2]['2'], wanted)
    assert changed(settings, step_list__reading='respaced').measured_list == other.measured_list
    assert settings.measured_list.take(2) == (1., .75) and other.measured_list.take(2) == (1., .5)


def test_wider_modes_overlap_more():
    certain = []
    for shift in (.05, .15, .3, .6):
        world = point_world(WorldSettings(shift=shift))
        video, condition, _ = world.draw(Draws([stream(0, 'overlap')], 500))
        share = world.exact(video[:, :2], condition.labels[:, 0, 0]).share
        certain.append(share.max(1).values.mean().item())
    assert certain == sorted(certain, reverse=True) and certain[0] > .99 > certain[-1] + .1


@pytest.mark.parametrize('decisions', [1, 2, 3])
def test_kicks_have_as_many_decisions_as_asked(decisions):
    means = point_world(WorldSettings(name='kicks', decisions=decisions)).means
    assert len(means) == 5 ** decisions
    moves = [not torch.equal(means[:, 2 * i], means[:, 2 * i - 2]) for i in (1, 2)]
    assert moves == [decisions > 1, decisions > 2]


def test_rivals_start_where_all_start(start):
    settings, world, net = start
    plain = play(net, world, settings.step_list, ['1'], 20, [0])['1']
    for arm in ('shortcut', 'flow-map', 'consistency'):
        student = lab_stage(changed(settings, arm=arm), world, net).student.model
        assert torch.allclose(play(student, world, settings.step_list, ['1'], 20, [0])['1'], plain, atol=1e-5)
