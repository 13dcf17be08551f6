"The rooms around the picture world: judge, tracker, pictures, measures, initialisation, sampling, recipes."
import json

import pytest
import torch

from asdvideo.causal import causal
from asdvideo.checkpoints import load_network, publish
from asdvideo.denoiser import CausalLayout, Condition
from asdvideo.digits import DigitsSettings, SteeredDigits, ask
from asdvideo.errors import AsdError
from asdvideo.evaluation import (
    check_gate,
    evaluate_all,
    gate,
    kept_row,
    paired_clips,
    reference,
    reproduce,
)
from asdvideo.ffe import KINDS, allocations, border_change, guesses, pareto, similarity
from asdvideo.initialisation import (
    InitialisationSettings,
    InitialisationStage,
    Paths,
    PathSettings,
    WithHistory,
    ode_loss,
    ode_path,
    record_paths,
)
from asdvideo.judge import NOTHING, Judge, JudgeConfig, JudgeSettings, JudgeStage, bend, frames_to_judge, observe
from asdvideo.learner import LearnerSettings
from asdvideo.measures import (
    Reference,
    across_seeds,
    asked,
    density_coverage,
    frechet,
    histograms,
    interval,
    load_judge,
    look,
    obeyed,
    total_variation,
)
from asdvideo.pictures import film, page, pixels, save_video, strips
from asdvideo.randomness import Draws, stream
from asdvideo.recipes import (
    CHAIN,
    STUDENTS,
    GateSettings,
    Home,
    earlier,
    known,
    make_stage,
    settings_of,
    tiny,
    told_steps,
    train,
)
from asdvideo.rollout import Noise
from asdvideo.sampling import Sampler, generate, load
from asdvideo.schedule import StepList
from asdvideo.settings import changed
from asdvideo.tracker import centres, motion
from asdvideo.training import fit
from asdvideo.transformer import NetworkConfig, VideoTransformer

LEARNER = LearnerSettings(lr=1e-3, warmup=2)
SMALL = SteeredDigits(DigitsSettings(size=16, frames=4))
STEPS = StepList(4, 3.)


def network(size=16, layout=None, seed=0):
    "A small network with random weights."
    torch.manual_seed(seed)
    net = VideoTransformer(NetworkConfig(size=size, width=16, heads=2, depth=2), layout or CausalLayout())
    for p in net.parameters():
        p.data += .05 * torch.randn_like(p)
    return net.eval()


# judge

def test_turns_do_not_change_the_judges_training():
    results = []
    for turns in (1, 2):
        torch.manual_seed(0)
        judge, world = Judge(JudgeConfig(size=16, width=16)), SteeredDigits(DigitsSettings(size=16, frames=2), 'judge')
        settings = JudgeSettings(steps=2, batch=16, block=8, turns=turns, learner=LEARNER)
        fit(JudgeStage(settings, judge, world), quiet=True)
        results.append(torch.cat([p.detach().flatten() for p in judge.parameters()]))
    assert torch.allclose(*results, atol=1e-5)


def test_the_judge_looks_at_frames_one_by_one():
    judge = load_judge('cpu')
    video, _ = SteeredDigits(part='test').sample(Draws([stream(0, 'x')], 3))
    whole, part = observe(judge, video), observe(judge, video[:, 4:5])
    assert torch.allclose(whole.logits[:, 4:5], part.logits, atol=1e-4)
    with pytest.raises(AsdError, match='video'):
        judge(torch.zeros(1, 1, 1, 28, 28))


def test_the_shipped_judge_on_digits_it_has_never_seen():
    judge, world = load_judge('cpu'), SteeredDigits(DigitsSettings(frames=2), 'test')
    video, condition = world.sample(Draws([stream(3, 'x')], 500))
    assert (observe(judge, video).digit == condition.labels[..., 0]).float().mean() >= .97
    nothing, digit = frames_to_judge(world, Draws([stream(4, 'x')], 100), 1.)
    assert (digit == NOTHING).all() and (observe(judge, nothing).digit == NOTHING).float().mean() > .9
    assert (observe(judge, -torch.ones(1, 2, 1, 24, 24)).digit == NOTHING).all()


def test_bending_moves_no_ink_away():
    video, _ = SMALL.sample(Draws([stream(0, 'x')], 8))
    frames = video.flatten(0, 1)
    bent = bend(frames, torch.rand(len(frames), 4), 1.)
    assert bent.shape == frames.shape and not torch.allclose(bent, frames)
    assert ((bent + 1).sum() / (frames + 1).sum() - 1).abs() < .1


# tracker

@pytest.mark.parametrize('chunk', [2, 3, 4])
def test_the_tracker_finds_what_has_happened(chunk):
    world = SteeredDigits(DigitsSettings(frames=12, chunk=chunk, cut=0.))
    track = world.track(300, stream(0, 'x'))
    found = motion(centres(world.render(track), 0.), chunk, .02)
    assert (found.direction == track.direction[:, ::chunk])[:, 1:].float().mean() > .99
    steps = track.place.diff(dim=1)
    assert (centres(world.render(track), 0.).diff(dim=1) - steps).abs().max() < 1e-3
    if chunk == 3:
        inside = steps[:, chunk - 1:].unflatten(1, (-1, chunk))
        bounced = ((inside - inside[:, :, :1]).norm(dim=-1) > .02).any(2)
        assert torch.equal(found.bounced[:, 1:], bounced) and bounced.any()


def test_a_video_stands_still_goes_and_comes_back():
    place = torch.tensor([[0., 0], [0, 2], [0, 4], [0, 6], [0, 5], [0, 4]])[None]
    found = motion(place, 2)
    assert found.direction.tolist() == [[0, 0, 1]] and found.turned.tolist() == [[0, 3]]
    assert found.speed.tolist() == [[2, 2, 1]] and not found.bounced.any()
    with pytest.raises(AsdError, match='whole chunks'):
        motion(place, 4)


def test_an_empty_frame_has_its_centre_in_the_middle():
    assert centres(-torch.ones(1, 1, 1, 8, 10)).tolist() == [[[3.5, 4.5]]]


# pictures

def test_pictures(tmp_path):
    video = torch.rand(2, 3, 1, 5, 7) * 2 - 1
    assert page(video, 2, 1).shape == (2 * 11 - 1, 3 * 15 - 1, 3) and film(video, 1).shape[1] % 2 == 0
    strips(video, ['a', 'b'], path=tmp_path/'a.png')
    for name in ('b.mp4', 'c.gif', 'd.png'):
        assert save_video(tmp_path/name, video).stat().st_size > 100
    assert {path.name for path in tmp_path.iterdir()} == {'a.png', 'b.mp4', 'c.gif', 'd.png'}


@pytest.mark.parametrize('name, value', [('a.mp4', torch.nan), ('a.gif', torch.inf), ('a.avi', 0.), ('a', 0.)])
def test_pictures_that_are_refused(tmp_path, name, value):
    with pytest.raises(AsdError):
        save_video(tmp_path/name, torch.full((1, 2, 1, 8, 8), value))
    assert not list(tmp_path.iterdir())


def test_pixels_want_a_video():
    for wrong in (torch.zeros(3, 3), torch.zeros(1, 4, 8, 8), torch.zeros(0, 1, 8, 8), None):
        with pytest.raises(AsdError):
            pixels(wrong)


# measures

def test_frechet_of_known_gaussians():
    x = torch.randn(20_000, 3, generator=stream(0, 'x'))
    assert abs(frechet(x, x)) < 1e-6
    assert frechet(x, 2 * x + torch.tensor([1., 0, 0])) == pytest.approx(1 + 3, rel=.05)


def test_density_and_coverage_of_equal_sets():
    real, fake = (torch.randn(400, 2, generator=stream(i, 'x')) for i in range(2))
    density, coverage = density_coverage(real, fake)
    assert density.shape == coverage.shape == (400,) and .85 < density.mean() < 1.15 and coverage.mean() > .95
    assert density_coverage(real, fake + 50)[1].sum() == 0


def test_laws_and_wishes():
    judge, world = load_judge('cpu'), SteeredDigits(part='test')
    video, shown = world.sample(Draws([stream(0, 'x')], 64))
    seen = look(judge, video)
    laws = histograms(seen, 24)
    assert laws['turn'].sum(1).unique().tolist() == [4] and laws['flicker'].sum(1).unique().tolist() == [6]
    assert laws['cut'].sum(1).unique().tolist() == [5] and total_variation(laws['turn'], laws['turn']) == 0
    right = obeyed(seen, asked(shown, 'digit'))
    assert right['digit'].mean() > .9 and right['direction'].isnan().all()
    wrong = Condition(labels=torch.stack([(shown.labels[..., 0] + 1) % 10, shown.labels[..., 1]], -1))
    assert obeyed(seen, wrong)['digit'].mean() < .1
    assert total_variation(torch.tensor([[1, 0]]), torch.tensor([[0, 3]])) == 1


def test_videos_of_any_length_are_measured_over_time():
    reference = Reference.of_world(load_judge('cpu'), SteeredDigits(part='test'), 64)
    video, _ = SteeredDigits(DigitsSettings(frames=20), 'test').sample(Draws([stream(1, 'x')], 64))
    video[:, 10:] = -1
    found = reference.over_time(video).numbers
    assert len(found['survival']) == 20 and found['survival'][9] > .7 and found['survival'][-1] == 0
    assert found['frechet_frames'][-1] > 2 * found['frechet_frames'][0]
    with pytest.raises(AsdError, match='frames'):
        reference.measure(video, ask('7', 20))
    with pytest.raises(AsdError, match='finite'):
        reference.over_time(video * torch.nan)


def test_intervals():
    values = torch.randn(300, generator=stream(0, 'x')) + 1
    mean, low, high = interval(values)
    assert low < mean < high and high - low == pytest.approx(2 * 1.96 / 300 ** .5, rel=.25)
    assert interval(values) == interval(values)
    assert across_seeds(torch.tensor([1., 2, 3]))[1:] == pytest.approx((-.484, 4.484), abs=1e-3)
    for wrong in (across_seeds, interval):
        with pytest.raises(AsdError):
            wrong(torch.tensor([1.]))


# initialisation

def test_a_path_begins_with_the_noise_and_ends_where_euler_ends():
    from asdvideo.flow import euler

    net, noise, condition = network(), torch.randn(3, *SMALL.shape), SMALL.conditions(Draws([stream(0, 'x')], 3))
    path = ode_path(net, noise, condition, STEPS.levels, 8, 3.)
    assert torch.equal(path[:, 0], noise)
    assert torch.allclose(path[:, -1], euler(net, noise, condition, 8, 3.), atol=1e-6)
    index = torch.full((3, 4), 4)
    assert ode_loss(causal(net, CausalLayout(chunk=2)), path, STEPS.levels, condition, index).shape == (3,)
    with pytest.raises(AsdError, match='path'):
        ode_loss(net, path[:, :3], STEPS.levels, condition, index)


def test_a_history_is_what_a_chunk_sees():
    net, clean = network(layout=CausalLayout(chunk=2)), torch.rand(2, *SMALL.shape)
    noise, condition = torch.randn(2, *SMALL.shape), Condition()
    path = ode_path(WithHistory(net, clean), noise, condition, STEPS.levels, 8, 3.)
    changed_last, changed_first = clean.clone(), clean.clone()
    changed_last[:, 2:] = 0
    changed_first[:, :2] = 0
    assert torch.equal(ode_path(WithHistory(net, changed_last), noise, condition, STEPS.levels, 8, 3.), path)
    other = ode_path(WithHistory(net, changed_first), noise, condition, STEPS.levels, 8, 3.)
    assert torch.equal(other[:, :, :2], path[:, :, :2]) and not torch.equal(other[:, -1, 2:], path[:, -1, 2:])
    with pytest.raises(AsdError, match='causal'):
        WithHistory(network(), clean)


@pytest.mark.parametrize('layout', [CausalLayout(), CausalLayout(chunk=2)])
def test_initialisation_resumes_and_takes_turns(tmp_path, layout):
    source, settings = network(layout=layout), PathSettings(count=32, shard=16, steps=8)
    place = record_paths(source, SMALL, STEPS, settings, tmp_path/'paths', 'me', quiet=True)
    paths, results = Paths(place), []

    def stage(turns=1):
        student = causal(network(), CausalLayout(chunk=2)).train()
        chosen = InitialisationSettings(steps=4, batch=16, turns=turns, learner=LEARNER)
        return InitialisationStage(chosen, student, paths, STEPS)

    for turns in (1, 2):
        made = stage(turns)
        assert made.clean_history == layout.causal
        fit(made, quiet=True)
        results.append(torch.cat([p.detach().flatten() for p in made.student.model.parameters()]))
    assert torch.allclose(*results, atol=1e-5)
    fit(stage(), tmp_path/'run', stop_after=2, quiet=True)
    again = stage()
    fit(again, tmp_path/'run', quiet=True)
    resumed = torch.cat([p.detach().flatten() for p in again.student.model.parameters()])
    assert torch.equal(resumed, results[0])


def test_paths_that_are_refused(tmp_path):
    settings = PathSettings(count=16, shard=8, steps=4)
    with pytest.raises(AsdError, match='paths'):
        Paths(tmp_path/'none')
    place = record_paths(network(), SMALL, STEPS, settings, tmp_path/'paths', 'me', quiet=True)
    with pytest.raises(AsdError, match='made with'):
        record_paths(network(), SMALL, STEPS, settings, place, 'you', quiet=True)
    student = causal(network(), CausalLayout(chunk=2))
    with pytest.raises(AsdError, match='paths for'):
        InitialisationStage(InitialisationSettings(batch=16), student, Paths(place), StepList(4, 5.))
    with pytest.raises(AsdError, match='bidirectional'):
        InitialisationStage(InitialisationSettings(batch=16), network(), Paths(place), STEPS)
    with pytest.raises(AsdError, match='count'):
        PathSettings(count=17, shard=8)


# sampling and first-frame enhancement

def test_equal_seeds_pair_teacher_and_student():
    net = network()
    teacher, student = Sampler(net, STEPS, 4), Sampler(causal(net, CausalLayout(chunk=2)), STEPS, 4)
    one, two = (generate(s, 1, ask('7,right', 4), 5) for s in (teacher, student))
    assert torch.allclose(one[:, :2], two[:, :2], atol=.3) and one.shape == two.shape == (1, 4, 1, 16, 16)
    noises = [Noise((1, 4, 1, 16, 16), 5, CausalLayout(chunk=2)).whole() for _ in range(2)]
    assert torch.equal(*noises)
    assert generate(student, 1, Condition(), shape=(3, 4)).shape == (3, 4, 1, 16, 16)


def test_what_a_sampler_refuses(tmp_path):
    student = Sampler(causal(network(), CausalLayout(chunk=2)), STEPS, 4)
    for steps in ('5', '0', 'x', '1,1,1', ''):
        with pytest.raises(AsdError):
            generate(student, steps, ask('7', 4))
    for steps in ('0', 'x', '-1', '1*'):
        with pytest.raises(AsdError):
            generate(Sampler(network(), STEPS, 4), steps, ask('7', 4))
    with pytest.raises(AsdError, match='network'):
        load('nobody')
    publish(student.net, tmp_path/'bare.safetensors')
    with pytest.raises(AsdError, match='makes videos'):
        load(tmp_path/'bare.safetensors', 'cpu')
    publish(student.net, tmp_path/'whole.safetensors', **student.facts())
    assert load(tmp_path/'whole.safetensors', 'cpu').frames == 4


def test_guesses_and_budgets():
    net = network(layout=CausalLayout(chunk=2))
    found = guesses(net, Noise((3, 4, 1, 16, 16), 0, net.layout), STEPS, Condition())
    assert [tuple(x.shape) for x in found] == [(4, 3, 2, 1, 16, 16)] * 2
    for kind in KINDS:
        table = similarity(found, torch.zeros(SMALL.shape), kind)
        assert table.shape == (2, 4) and torch.allclose(table[:, -1], torch.ones(2), atol=1e-5)
    assert len(allocations(9, 6, 4)) == len(set(allocations(9, 6, 4))) == 56
    with pytest.raises(AsdError):
        allocations(5, 6, 4)
    assert pareto({'a': (1, 1.), 'b': (1, 2.), 'c': (2, 1.)}) == ['a']
    assert border_change(torch.tensor([[1., 3.]]), 1).tolist() == [2]


# recipes

def test_the_chain_is_whole():
    names = list(CHAIN)
    for i, name in enumerate(names):
        assert all(need in names[:i] for need in CHAIN[name].needs)
        settings_of(name, tiny())
    assert earlier(['asd_bi']) == ['judge', 'teacher', 'paths_bi', 'init_bi']
    assert settings_of('told-2', tiny()).told and settings_of('told-2', tiny()).seed == 2
    for wrong in ('nobody', 'teacher-1', 'dmd-', 'dmd-x', '', 'dmd-1-2'):
        with pytest.raises(AsdError):
            known(wrong)


def test_a_network_that_is_told_begins_as_it_was():
    net = network()
    twin = told_steps(net, 4)
    x, sigma = torch.randn(2, *SMALL.shape), torch.rand(2, 4)
    told = Condition().told(3, 2)
    assert torch.equal(net(x, sigma, Condition()), twin(x, sigma, told))


def test_the_gate():
    good = dict.fromkeys(('digit', 'direction', 'coverage', 'ink', 'sharpness'), 1.0)
    good |= {f'tv_{name}': .02 for name in ('speed', 'direction', 'turn', 'bounce', 'place')}
    assert all(met for _, _, met in gate(good, good, GateSettings()).values())
    for name, value in (('digit', .8), ('ink', 1.2), ('sharpness', .8), ('tv_turn', .08)):
        checks = gate({**good, name: value}, good, GateSettings())
        assert [key for key, (_, _, met) in checks.items() if not met] == [name]


def test_a_tiny_chain_from_end_to_end(tmp_path):
    home, recipe = Home.at(tmp_path), tiny()
    with pytest.raises(AsdError, match='earlier training'):
        make_stage('dmd', recipe, home)
    file = reproduce(['told', 'only1'], (0,), recipe, home, force=True, quiet=True)
    rows = json.loads(file.read_text())['rows']
    assert {row['steps'] for row in rows if row['name'] == 'only1'} == {'1', '1*'}
    assert all(row['direction'] is None for row in rows if row['told'] == 'digit' and row['steps'] != 'drift')
    assert load_network(home.network('told_fake_score'), 'cpu')[0].config.steps == 4
    with pytest.raises(AsdError, match='judge'):
        check_gate('judge', recipe, home)
    before = {path: path.stat().st_mtime_ns for path in (*home.weights.iterdir(), *(home.runs/'rows').iterdir())}
    evaluate_all(['told'], recipe, home, ['1'], ['digit'], quiet=True)
    assert train('told', recipe, home, quiet=True) == [home.network('told'), home.network('told_fake_score')]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert paired_clips('told_1_digit', 'only1_1_digit', home).shape == (recipe.clips,)
    more = kept_row('told', 1, 'digit', reference(recipe, home), changed(recipe, guidance=2.), home)
    assert more['key']['guidance'] == 2.
    with pytest.raises(AsdError, match='started with'):
        train('told', changed(recipe, dmd__guidance=2.), home, quiet=True)


@pytest.mark.parametrize('name', sorted({'asd', 'real', 'asd_ffe'} & set(STUDENTS)))
def test_arms_of_asd_can_be_built(tmp_path, name):
    recipe, home = tiny(), Home.at(tmp_path)
    net = VideoTransformer(recipe.network)
    publish(net, home.network('teacher'))
    publish(causal(net, CausalLayout(chunk=2)), home.network('init'))
    stage = make_stage(name, recipe, home)
    assert stage.train_step(1)
