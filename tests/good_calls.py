"One good call, or a few, for every door of the house."
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from doors import (
    Door,
    drained,
    entered,
    labels,
    number,
    same,
    seed,
    several,
    tensor,
    text,
    thing,
    to_read,
    to_write,
    whole,
)

from asdvideo import (
    asd,
    cache,
    checkpoints,
    denoiser,
    devices,
    digits,
    discriminator,
    dmd,
    export,
    ffe,
    files,
    flow,
    initialisation,
    judge,
    live,
    long,
    measures,
    pictures,
    pipelines,
    player,
    randomness,
    recipes,
    sampling,
    schedule,
    settings,
    shards,
    stream,
    teacher,
    tracker,
    training,
    transformer,
    world,
)
from asdvideo.causal import by_chunks, causal, frozen, trainable
from asdvideo.denoiser import CausalLayout, Condition
from asdvideo.lab import curves, ensembles, law, students, worlds
from asdvideo.lab import measures as points
from asdvideo.randomness import Draws
from asdvideo.rollout import Noise, rollout, rollout_chunks, rollout_many
from asdvideo.schedule import Schedule, StepList
from asdvideo.wan import checkpoints as wan_checkpoints
from asdvideo.wan import training as wan_training

LAYOUT, STEPS = CausalLayout(2), StepList(4)
PASSES = 'NaN, inf, complex, booleans'         # arithmetic hands them on, and one sees it
GIVEN = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    "Numbers from -1 to 1."
    return torch.randn(*shape, generator=GIVEN).clamp(-1, 1)


def draws(rows: int = 2) -> Draws:
    "Where random numbers come from."
    return Draws([randomness.stream(0, 'test')], rows)


class Shelf:
    "What the good calls are made of: small networks, videos, files."

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = transformer.NetworkConfig(size=16, width=16, depth=2, heads=2)
        self.teacher = transformer.VideoTransformer(self.config).eval()
        self.student = causal(self.teacher, LAYOUT).eval()
        self.video, self.noise, self.sigma = normal(2, 4, 1, 16, 16), normal(2, 4, 1, 16, 16), torch.full((2, 4), .5)
        self.labels = torch.tensor([3, 1]).expand(2, 4, 2).contiguous()
        self.told = Condition(self.labels)
        self.judge = judge.Judge(judge.JudgeConfig(size=16, width=16, features=8)).eval()
        self.sampler = sampling.Sampler(self.student, STEPS, 4, 'student')
        self.weights = checkpoints.publish(self.student, folder/'student.safetensors', **self.sampler.facts())
        self.json = files.save_json(folder/'good.json', {'a': 1})
        self.world = worlds.point_world(worlds.WorldSettings(frames=4))
        self.points = self.world.sample(draws(64))[0]
        self.digits = digits.SteeredDigits(digits.DigitsSettings(size=16, frames=4))
        self.reference = measures.Reference.of_world(self.judge, self.digits, 16)
        self.recipe = recipes.tiny()
        self.windowed, self.steps = causal(self.student, CausalLayout(2, window=4)), STEPS
        checkpoints.publish(self.student, folder/'data'/'weights'/'asd.safetensors', **self.sampler.facts())
        checkpoints.publish(self.judge, folder/'data'/'weights'/'judge.safetensors')


def randomness_doors(s: Shelf) -> list[Door]:
    streams = [randomness.stream(0, 'a')]
    return [
        Door('stream', randomness.stream, {'seed': seed()}),
        Door('seed_of', randomness.seed_of, {'seed': seed()}),
        Door('Draws', Draws, {'streams': several(streams), 'rows': whole(2, 1)}),
    ]


def model_doors(s: Shelf) -> list[Door]:
    forward = {'xt': tensor(s.video, 'NaN, inf, one row more'), 'sigma': tensor(s.sigma, 'NaN, inf'),
        'condition': thing(s.told)}
    right = ('xt: NaN', 'xt: inf', 'condition: a class')
    config = Door('NetworkConfig', transformer.NetworkConfig, {
        'size': whole(16, 1, 4096), 'width': whole(16, 2, 65_536), 'depth': whole(2, 1, 1000),
            'heads': whole(2, 1, 1000),
    })
    return [
        config,
        Door('Condition', Condition,
            {'labels': labels(s.labels,
                'None, fractions, an axis less, an axis more, nothing, far too high, one row')}),
        Door('CausalLayout', CausalLayout, {
            'chunk': whole(2, 1, right='None, too high'), 'first': whole(1, 1, right='None, too high'),
            'window': whole(4, 2, right='None'), 'sink': whole(2),
        }),
        Door('CausalLayout.sizes', LAYOUT.sizes, {'frames': whole(4, 2)}),
        Door('CausalLayout.mask', LAYOUT.mask, {'frames': whole(4, 2)}),
        Door('CausalLayout.forcing_mask', LAYOUT.forcing_mask, {'frames': whole(4, 2)}),
        Door('ClipDenoiser', denoiser.ClipDenoiser, {'clips': tensor(s.video,
            'NaN, inf, one row, one column, one row more'), 'layout': thing(LAYOUT)}),
        Door('VideoTransformer', transformer.VideoTransformer, {'config': thing(s.config), 'layout': thing(LAYOUT)}),
        Door('VideoTransformer()', s.teacher, forward, right),
        Door('VideoTransformer.append', lambda **a: s.student.append(s.student.empty_cache(), **a), {
            'x0': forward['xt'], 'condition': forward['condition'],
        }),
        Door('causal', causal, {'net': thing(s.teacher), 'layout': thing(LAYOUT)}),
        Door('trainable', trainable, {'net': thing(s.teacher)}),
        Door('frozen', frozen, {'net': thing(s.teacher)}),
        Door('by_chunks', by_chunks, {'model': thing(s.student), **forward}),
        Door('ValueCache', cache.ValueCache, {'layout': thing(LAYOUT)}),
        Door('RingCache', cache.RingCache, {'layout': thing(LAYOUT), 'frames': whole(4, 1)}),
        Door('Judge', judge.Judge, {'config': thing(judge.JudgeConfig())}),
        Door('Judge()', s.judge, {'video': tensor(s.video, 'NaN, inf, one row, one column, one row more')}),
        Door('observe', judge.observe, {
            'judge': thing(s.judge), 'video': tensor(s.video, 'NaN, inf, one row, one column, one row more'),
            'batch': whole(8, 1, right='too high'),
        }),
    ]


def world_doors(s: Shelf) -> list[Door]:
    clips, right = s.video.clamp(-1, 1), 'one row, one column, one row more'
    return [
        Door('Clips', world.Clips, {
            'video': tensor(clips, right), 'labels_of': labels(torch.tensor([[0], [1]]), 'None, far too high'),
            'hidden': number(.1, 0, 1),
        }, ('video: one column',)),
        Door('load_digits', digits.load_digits, {'part': text('test')}),
        Door('SteeredDigits', digits.SteeredDigits, {'settings': thing(digits.DigitsSettings()),
            'part': text('test')}),
        Door('ask', digits.ask, {'text': text('7,right', 'empty'), 'frames': whole(4, 1), 'chunk': whole(2, 1)},
            ('chunk: too high',)),
        Door('describe', digits.describe, {'condition': thing(s.told)}),
        Door('GaussianMixture', worlds.GaussianMixture, {
            'means': tensor(normal(2, 3, 2), 'one column'), 'label_of': labels(torch.tensor([0, 1]), 'None'),
            'shift': number(.15, 0), 'jitter': number(.1, 0),
        }),
        Door('point_world', worlds.point_world, {'settings': thing(worlds.WorldSettings())}),
    ]


def flow_doors(s: Shelf) -> list[Door]:
    video, sigma, noise = tensor(s.video, PASSES), tensor(s.sigma, PASSES), tensor(s.noise, PASSES)
    return [
        Door('per_frame', flow.per_frame, {'sigma': sigma, 'video': video}),
        Door('add_noise', flow.add_noise, {'x0': video, 'eps': noise, 'sigma': sigma}),
        Door('x0_from_velocity', flow.x0_from_velocity, {'xt': video, 'velocity': noise, 'sigma': sigma}),
        Door('eps_from_velocity', flow.eps_from_velocity, {'xt': video, 'velocity': noise, 'sigma': sigma}),
        Door('velocity_from_x0', flow.velocity_from_x0, {'xt': video, 'x0': noise,
            'sigma': tensor(s.sigma, 'NaN, inf, booleans')}),
        Door('shift_sigma', flow.shift_sigma, {'sigma': number(.5, 0, 1), 'shift': number(2., .001, 1000)}),
        Door('sigma_grid', flow.sigma_grid, {'steps': whole(4, 1), 'shift': number(2., .001, 1000)}),
        Door('euler', flow.euler, {
            'model': thing(s.teacher), 'noise': tensor(s.noise, 'NaN, inf'), 'condition': thing(s.told),
                'steps': whole(1, 1),
            'shift': number(1., .001, 1000),
        }),
        Door('draw_sigma', flow.draw_sigma, {
            'draws': thing(draws()), 'frames': whole(4, 1), 'shift': number(1., .001, 1000),
                'chunk': whole(2, 1, right='None, too high'),
        }),
        Door('flow_loss', teacher.flow_loss, {'model': thing(s.teacher), 'x0': tensor(s.video, 'NaN, inf'),
            'eps': tensor(s.noise, 'NaN, inf'),
            'sigma': tensor(s.sigma, 'NaN, inf'), 'condition': thing(s.told)}),
        Door('Guided', teacher.Guided, {'model': thing(s.teacher), 'weight': number(1.5, 0, 100)}),
        Door('clean_guess', dmd.clean_guess, {'model': thing(s.teacher), 'video': tensor(s.video, 'NaN, inf'),
            'sigma': tensor(s.sigma, 'NaN, inf'),
            'eps': tensor(s.noise, 'NaN, inf'), 'condition': thing(s.told)}),
        Door('dmd_gradient', dmd.dmd_gradient, {'video': video, 'x0_fake': noise, 'x0_real': noise,
            'floor': number(.02, 0)}),
        Door('ode_path', initialisation.ode_path, {
            'model': thing(s.teacher), 'noise': tensor(s.noise, 'NaN, inf'), 'condition': thing(s.told),
            'levels': several([1., .5], [1., .3], [math_nan]), 'steps': whole(2, 1), 'shift': number(1., .001, 1000),
        }),
    ]


math_nan = float('nan')


def rollout_doors(s: Shelf) -> list[Door]:
    noise, plan = Noise((2, 4, 1, 16, 16), 0, LAYOUT), Schedule.parse('1', STEPS)
    shapes = [(2, 4, 1, 16), (2, 4, 1, 16, 0), (2, 4, 1, 16, -1), (2, 3, 1, 16, 16), (HUGE_ROWS, 4, 1, 16, 16),
        (2, 4, 1, 16, 1.5)]
    write = {'model': thing(s.student), 'noise': thing(noise), 'schedule': thing(plan), 'condition': thing(s.told),
        'mode': text('ode')}
    names = several((1., .5), (.5,), (1., 1.), (1., math_nan), (1., 0.), (1., .5, .7))
    return [
        Door('check_levels', schedule.check_levels, {'levels': names}),
        Door('Schedule', Schedule, {'levels': several(((1., .5),), ((),), ((.5,),), (1.,))}),
        Door('Schedule.parse', Schedule.parse, {'text': text('1*', 'a number'), 'steps': thing(STEPS)}),
        Door('Schedule.parse of numbers', Schedule.parse, {'text': text('4,1', 'a number'), 'steps': thing(STEPS)}),
        Door('Schedule.of', Schedule.parse('4,1', STEPS).of, {'chunk': whole(1, 0)}),
        Door('Schedule.passes', plan.passes, {'chunks': whole(2, 1)}),
        Door('StepList.take', STEPS.take, {'n': whole(2, 1, 4)}),
        Door('Noise', Noise, {
            'shape': several((2, 4, 1, 16, 16), *shapes), 'seeds': seed(right='a list of seeds'),
                'layout': thing(LAYOUT),
            'device': text('cpu', 'None'), 'dtype': thing(torch.float32),
        }),
        Door('Noise()', noise, {'chunk': whole(0), 'step': whole(0)}, ('step: too high',)),
        Door('rollout', rollout, {**write, 'jumps': text('all')}),
        Door('rollout_chunks', drained(rollout_chunks), write),
        Door('rollout_many', rollout_many, {
            'model': thing(s.student), 'noises': several([noise]), 'schedules': several([plan]),
                'condition': thing(s.told), 'mode': text('ode'),
        }),
        Door('VideoStream', stream.VideoStream, {
            'model': thing(s.student), 'frame': several((1, 16, 16), (1, 16), (1, 16, 0), (1, 16, -16),
                (1, 16, HUGE_ROWS)),
            'schedule': thing(plan), 'condition': thing(s.told), 'seeds': seed(), 'batch': whole(2, 1),
                'mode': text('ode'),
        }),
        Door('next(VideoStream)', lambda condition: next(stream.VideoStream(s.student, (1, 16, 16), plan,
            condition)), {
            'condition': thing(Condition(s.labels[:1, :1])),
        }),
        Door('write_long', long.write_long, {
            'model': thing(s.student), 'layout': thing(CausalLayout(2, window=4)), 'schedule': thing(plan),
                'frame': several((1, 16, 16), (1, 16)),
            'chunks': whole(2, 1), 'batch': whole(2, 1), 'condition': thing(Condition(s.labels[:, :1])),
                'seed': seed(),
        }),
        Door('generate', sampling.generate, {
            'sampler': thing(s.sampler), 'steps': text('1', 'a number'), 'condition': thing(s.told), 'seed': seed(),
                'batch': whole(2, 1, right='too high'),
            'guidance': number(1., 0, 100, right='None'),
        }),
        Door('generate by a teacher', sampling.generate, {
            'sampler': thing(sampling.Sampler(s.teacher, STEPS, 4)), 'steps': text('2', 'a number'),
                'condition': thing(s.told),
            'guidance': number(1.5, 0, 100, right='None'),
        }),
        Door('generate without labels', sampling.generate, {
            'sampler': thing(s.sampler), 'steps': same('1'), 'condition': thing(Condition()),
            'shape': several((2, 4), (2,), (0, 4), (2, -4), (2, 3), (HUGE_ROWS, 4), (2, HUGE_ROWS), (1.5, 4)),
        }),
        Door('guesses', ffe.guesses, {'model': thing(s.student), 'noise': thing(noise), 'step_list': thing(STEPS),
            'condition': thing(s.told)}),
        Door('allocations', ffe.allocations, {'total': whole(5, 2), 'chunks': whole(2, 1), 'most': whole(4, 1)}),
        Door('shifted_stars', ffe.shifted_stars, {'chunks': whole(2, 1), 'most': whole(4, 1), 'others': whole(1, 1)}),
    ]


HUGE_ROWS = 10 ** 9


def loss_doors(s: Shelf) -> list[Door]:
    logit = normal(3)
    head = discriminator.head_for(s.config)
    at = {'xt': tensor(s.video, 'NaN, inf'), 'sigma': tensor(s.sigma, 'NaN, inf'), 'condition': thing(s.told)}
    pair = {'fake': tensor(logit, PASSES), 'real': tensor(logit, PASSES)}
    return [
        Door('student_loss', discriminator.student_loss, pair),
        Door('discriminator_loss', discriminator.discriminator_loss, pair),
        Door('DiscriminatorHead', discriminator.DiscriminatorHead,
            {'config': thing(discriminator.HeadConfig(16, 2))}),
        Door('head_for', discriminator.head_for, {'config': thing(s.config), 'steps': whole(4, 1)}),
        Door('step_logit', discriminator.step_logit, {'backbone': same(s.teacher), 'head': same(head), **at,
            'n': whole(2, 1)}),
        Door('slope_finite', discriminator.slope_finite, {
            'here': tensor(logit, PASSES), 'there': tensor(logit, PASSES), 'delta': number(.01, 1e-9),
        }),
        Door('asd_gradient', asd.asd_gradient, {
            'video': tensor(s.video, 'NaN, inf'), 'real_logit': tensor(normal(2), 'NaN, inf'),
                'backbone': same(s.teacher),
            'head': same(head), 'sigma': tensor(s.sigma, 'NaN, inf'), 'eps': tensor(s.noise, 'NaN, inf'),
            'condition': thing(s.told), 'n': whole(2, 1),
        }),
    ]


def stage_doors(s: Shelf) -> list[Door]:
    small = s.recipe
    student, fake = trainable(s.student), trainable(s.teacher)
    shared = {'world': thing(s.digits), 'step_list': thing(STEPS)}
    nets = {'student': thing(student), 'teacher': thing(s.teacher), 'fake_score': thing(fake)}
    paths = initialisation.record_paths(s.teacher, s.digits, STEPS, small.paths, s.folder/'paths', 'tiny', quiet=True)

    def fitted(**args: Any) -> dict:
        "A short training."
        stage = teacher.TeacherStage(small.teacher, trainable(s.teacher), s.digits)
        return training.fit(**{'stage': stage, 'quiet': True, 'stop_after': 0, **args})

    return [
        Door('TeacherStage', teacher.TeacherStage, {'settings': thing(small.teacher), 'net': thing(fake),
            'world': thing(s.digits), 'runtime': thing(devices.Runtime())}),
        Door('TeacherStage of a causal network', teacher.TeacherStage,
            {'settings': thing(small.ar), 'net': thing(student), 'world': thing(s.digits)}),
        Door('record_paths', initialisation.record_paths, {
            'teacher': thing(s.teacher), **shared, 'settings': thing(small.paths),
            'folder': to_write(s.folder/'paths', s.folder, 'a folder'), 'origin': text('tiny'),
        }),
        Door('InitialisationStage', initialisation.InitialisationStage, {'settings': thing(small.init),
            'student': thing(student), 'paths': thing(initialisation.Paths(paths)), 'step_list': thing(STEPS)}),
        Door('DmdStage', dmd.DmdStage, {'settings': thing(small.dmd), **nets, **shared}),
        Door('AsdStage', asd.AsdStage, {'settings': thing(small.asd), **nets,
            'head': thing(discriminator.head_for(s.config)), **shared}),
        Door('JudgeStage', judge.JudgeStage, {'settings': thing(small.judge),
            'net': thing(judge.Judge(small.judge_network)), 'world': thing(s.digits)}),
        Door('fit', fitted, {
            'folder': to_write(s.folder/'fit', s.folder, 'None, a folder'), 'save_seconds': number(120., 0),
                'log_every': whole(20, 1),
            'stop_after': whole(0, 0, right='None, too high'),
        }, ('log_every: too high',)),
        Door('fit a stage', fitted, {'stage': thing(teacher.TeacherStage(small.teacher, trainable(s.teacher),
            s.digits))}),
        Door('runtime', devices.runtime, {'device': text('cpu', 'None, empty')}),
        Door('pick_device', devices.pick_device, {'name': text('cpu', 'None, empty')}),
        Door('Runtime', devices.Runtime, {'device': thing(torch.device('cpu')), 'precision': text('bf16')}),
        Door('known', recipes.known, {'name': text('asd-1')}),
        Door('settings_of', recipes.settings_of, {'name': text('asd-1'), 'recipe': thing(small)}),
        Door('Home.at', recipes.Home.at, {'folder': to_write(s.folder/'home', s.folder,
            'a folder, below a file, not allowed, a zero byte, far too long')}),
        Door('train', recipes.train, {
            'name': text('told'), 'recipe': thing(small), 'home': thing(recipes.Home.at(s.folder/'home'), 'None'),
                'device': text('cpu', 'None, empty'),
        }),
        Door('make_stage', recipes.make_stage, {
            'name': text('teacher'), 'recipe': thing(small), 'home': thing(recipes.Home.at(s.folder/'home')),
                'how': thing(devices.Runtime()),
        }),
        Door('settings.changed', settings.changed, {'settings': thing(small.teacher), 'learner__lr': number(.1, 0),
            'steps': whole(3, 0, right='too high')}),
        Door('from_record', settings.from_record, {'kind': same(StepList), 'record': thing({'count': 4}, 'a dict')}),
    ]


def file_doors(s: Shelf) -> list[Door]:
    f, tensors = s.folder, {'a': torch.ones(2)}
    saved = files.save_tensors(f/'tensors.safetensors', tensors, {'b': 1})
    new = to_write(f/'new.safetensors', f)
    return [
        Door('writable', files.writable, {'path': to_write(f/'new', f)}),
        Door('replacing', entered(files.replacing), {'path': to_write(f/'new', f)}),
        Door('locked', entered(files.locked), {'folder': to_write(f/'locked', f, 'a folder')}),
        Door('listing', files.listing,
            {'folder': to_read(s.json, f,
                'a folder, a missing file, an empty file, a few bytes, JSON, half a file, a text file, one bit, '
                'a zero byte, far too long')}),
        Door('save_json', files.save_json, {'path': to_write(f/'new.json', f),
            'data': thing({'a': 1}, 'None, a text, a Unicode digit, a list, a dict, a number')}),
        Door('load_json', files.load_json, {'path': to_read(s.json, f, 'JSON, one bit')}),
        Door('save_tensors', files.save_tensors, {'path': new, 'tensors': thing(tensors, 'a dict'),
            'description': thing({'b': 1}, 'a dict')}),
        Door('load_tensors', files.load_tensors, {'path': to_read(saved, f)}),
        Door('read_header', shards.read_header, {'path': to_read(saved, f, 'one bit, half a file')}),
        Door('load_split', shards.load_split, {'path': to_read(saved, f), 'wanted': same({})}),
        Door('publish', checkpoints.publish, {'net': thing(s.student), 'path': to_write(f/'net.safetensors', f),
            'stage': thing(None, 'None')}),
        Door('load_network', checkpoints.load_network, {'path': to_read(s.weights, f),
            'device': text('cpu', 'None, empty')}),
        Door('build_network', checkpoints.build_network,
            {'description': thing(checkpoints.describe_network(s.student))}),
        Door('load', sampling.load, {'name': to_read(s.weights, f), 'device': text('cpu', 'None, empty')}),
        Door('load a shipped network', sampling.load, {'name': text(str(s.weights))}),
        Door('load_judge', measures.load_judge, {'device': text('cpu', 'None, empty')}),
        Door('Paths', initialisation.Paths, {'folder': to_write(s.folder, f, 'a folder')}),
        Door('Prompts', wan_training.Prompts, {'folder': to_write(s.folder, f, 'a folder')}),
        Door('load_wan', wan_checkpoints.load_wan, {'path': to_read(s.weights, f, 'one bit')}),
        Door('read_tensors', wan_checkpoints.read_tensors, {'path': to_read(s.weights, f, 'one bit')}),
        Door('result_of', recipes.result_of, {'name': text('student'), 'home': thing(recipes.Home(f, f, f))}),
    ]


def picture_doors(s: Shelf) -> list[Door]:
    video, f = tensor(s.video, 'one row, one column, one row more, booleans'), s.folder
    zoom, fps = whole(2, 1, 100), number(8., .1, 1000)
    films = {'a': pictures.pixels(s.video[0])[..., 0]}
    return [
        Door('pixels', pictures.pixels,
            {'video': tensor(s.video,
                'an axis less, an axis more, one row, one column, one row more, booleans')}),
        Door('page', pictures.page, {'videos': video, 'zoom': zoom, 'gap': whole(2, 0, 100)}),
        Door('strips', pictures.strips, {'videos': video, 'names': several(['a', 'b'], ['a'],
            right='empty, of None'), 'path': to_write(f/'strip.png', f, 'None'), 'zoom': zoom}),
        Door('film', pictures.film,
            {'videos': tensor(s.video, 'an axis less, one row, one column, one row more, booleans'),
                'zoom': zoom}),
        Door('movie', pictures.movie,
            {'videos': tensor(s.video, 'an axis less, one row, one column, one row more, booleans'),
                'fps': fps}),
        Door('save_video', pictures.save_video, {
            'path': to_write(f/'film.gif', f, ending='.gif'), 'videos': tensor(s.video,
                'an axis less, one row, one column, one row more, booleans'),
            'fps': fps, 'zoom': zoom,
        }),
        Door('save_video as mp4', pictures.save_video, {'path': to_write(f/'film.mp4', f, ending='.mp4'),
            'videos': same(s.video[:, :2])}),
        Door('png', player.png, {'frame': thing(films['a'][0]), 'zoom': zoom}),
        Door('recorded', player.recorded, {'films': thing(films)}),
        Door('film_page', law.film_page, {
            'films': thing({'a': normal(3, 2, 4, 2)}), 'places': tensor(normal(3, 2),
                'one row, one row more, booleans'), 'name': text('film', 'another word, far too long'),
            'frames': whole(5, 1),
        }),
        Door('save_film', curves.save_film, {
            'pages': same(pictures.page(s.video)[None]), 'path': to_write(f/'points.gif', f, ending='.gif'),
                'seconds': number(1., .001), 'rest': number(1., 0),
        }),
    ]


def measure_doors(s: Shelf) -> list[Door]:
    a, b, more = normal(12, 3), normal(12, 3), 'one row more, booleans'
    video = s.digits.sample(draws(2))[0]
    clips = tensor(video, 'one row, one row more')
    counts = torch.ones(2, 3)
    flat, points_of = s.points.flatten(1), tensor(s.points, 'one row more, one column')
    rows = {'marks': [0], 'names': ['1'], 'settings': {'seeds': [0, 1]}, 'drift': [{'mark': 0, 'drift': .1}],
            'rows': [{'mark': 0, 'steps': '1', 'seed': i, 'w2': .1 * i} for i in range(2)]}
    result = thing(rows)
    return [
        Door('centres', tracker.centres, {'video': tensor(video, 'one row, one column, one row more'),
            'haze': number(.1, 0, 1)}),
        Door('motion', tracker.motion, {'centre': tensor(normal(2, 4, 2), 'one row, one row more'),
            'chunk': whole(2, 2), 'tolerance': number(.25, 0)}),
        Door('frechet', measures.frechet, {'a': tensor(a, more), 'b': tensor(b, more)}),
        Door('density_coverage', measures.density_coverage, {'real': tensor(a, more),
            'fake': tensor(b, more + ', one row'), 'k': whole(5, 1)}),
        Door('look', measures.look, {'judge': thing(s.judge), 'video': clips, 'chunk': whole(2, 2)}),
        Door('total_variation', measures.total_variation, {'a': tensor(counts,
            'NaN, inf, booleans, one row, one row more'),
                'b': tensor(counts, 'NaN, inf, booleans, one row, one row more')}),
        Door('asked', measures.asked, {'condition': thing(s.told), 'block': text('digit')}),
        Door('Reference', measures.Reference, {'judge': thing(s.judge), 'video': tensor(video, 'one row more'),
            'condition': thing(s.told), 'chunk': whole(2, 2)}),
        Door('Reference.of_world', measures.Reference.of_world,
            {'judge': thing(s.judge), 'world': thing(s.digits), 'count': whole(16, 2), 'seed': seed()}),
        Door('Reference.measure', s.reference.measure, {'video': tensor(video, ''),
            'condition': thing(Condition(s.labels[:1].repeat(2, 1, 1)))}),
        Door('Reference.over_time', s.reference.over_time, {'video': tensor(video, 'one row more')}),
        Door('drift', long.drift, {'reference': thing(s.reference), 'video': tensor(video, 'one row more'),
            'stretch': whole(2, 1)}),
        Door('interval', measures.interval, {'values': tensor(a[:, 0], 'NaN, one row more, booleans'),
            'level': number(.9, .01, .99), 'rounds': whole(20, 1), 'seed': seed()}),
        Door('across_seeds', measures.across_seeds, {'values': tensor(a[:, 0], 'one row more, booleans'),
            'level': number(.9, .01, .99)}),
        Door('sliced_w2', points.sliced_w2, {'a': tensor(a, 'booleans'), 'b': tensor(b, 'booleans'),
            'directions': whole(8, 1), 'seed': seed()}),
        Door('mmd', points.mmd, {'a': tensor(a, 'booleans'), 'b': tensor(b, 'booleans'),
            'widths': several([.1], [0.], [-1.], [math_nan])}),
        Door('two_sample', points.two_sample, {'a': tensor(a, 'booleans'), 'b': tensor(b, 'booleans'),
            'features': whole(8, 1), 'seed': seed()}),
        Door('mode_shares', points.mode_shares, {'world': thing(s.world), 'video': points_of},
            ('video: one row', 'video: booleans')),
        Door('mode_tv', points.mode_tv, {'world': thing(s.world), 'video': points_of},
            ('video: one row', 'video: booleans')),
        Door('cross_entropies', points.cross_entropies, {'world': thing(s.world), 'video': points_of},
            ('video: one row', 'video: booleans')),
        Door('measure_points', points.measure_points, {'world': thing(s.world),
            'video': tensor(s.points, 'booleans'), 'real': tensor(s.points, 'booleans')}),
        Door('real_points', points.real_points, {'world': thing(s.world), 'count': whole(8, 1), 'seed': seed()}),
        Door('real_floor', points.real_floor, {'world': thing(s.world), 'count': whole(8, 2), 'sets': whole(1, 1)}),
        Door('column', curves.column, {'result': result, 'steps': text('1'), 'measure': text('w2'),
            'mark': whole(0, 0, right='None')}),
        Door('paired', curves.paired, {'a': result, 'b': result, 'steps': text('1')}),
        Door('curves.interval', curves.interval, {'x': tensor(flat[:, 0], 'NaN, inf, one row more')}),
        Door('holm', curves.holm, {'differences': thing({'a': flat[:, 0]}, 'a dict')}),
        Door('law_matrix', law.law_matrix, {'count': whole(4, 1), 'unified': number(1., 0), 'told': number(0., 0),
            'adversarial': number(0., 0)}),
        Door('follow', law.follow, {
            'points': tensor(normal(2, 5, 2), 'NaN, inf, one row, one column, one row more'),
                'data': thing(law.Modes(torch.ones(1), torch.zeros(1, 2), .1)),
            'flow': text('both'), 'steps': whole(2, 1), 'rate': number(.25, 0), 'strength': number(1., 0),
                'levels': several([.3], [0.], [1.], [2.], [math_nan]),
        }),
        Door('stack', ensembles.stack, {'nets': several([s.teacher, s.teacher])}),
        Door('unstack', ensembles.unstack, {'net': thing(ensembles.stack([s.teacher, s.teacher])),
            'member': whole(0), 'like': thing(s.teacher)}),
        Door('similarity', ffe.similarity, {'found': several([normal(4, 2, 2, 1, 4, 4)]),
            'mean': tensor(normal(2, 1, 4, 4), 'booleans'), 'kind': text('raw')}),
    ]


def live_doors(s: Shelf) -> list[Door]:
    windowed = causal(s.student, CausalLayout(2, window=4))
    crowd, frame = {'student': (windowed, STEPS)}, several((1, 16, 16), (1, 16), (1, 16, 0))
    pipeline = pipelines.CausalVideoPipeline.around(s.student, 4, STEPS)
    pipeline.set_progress_bar_config(disable=True)
    return [
        Door('Session', live.Session, {'students': thing(crowd), 'frame': frame}),
        Door('free_sockets', lambda **a: [x.close() for x in live.free_sockets(**a)[0]],
            {'port': whole(18_000, 1, 65_535), 'tries': whole(20, 1)}),
        Door('play', live.play, {'weights': several([], ['no such'], [s.folder/'missing.safetensors'],
            right='a list'), 'port': whole(8000), 'browser': same(False)}),
        Door('Player', player.Player, {'student': thing(windowed), 'step_list': thing(STEPS), 'frame': frame,
            'speed': whole(12, 1), 'seconds': whole(10, 1)}),
        Door('check_exportable', export.check_exportable, {'net': thing(windowed)}),
        Door('export_onnx', export.export_onnx, {'net': thing(windowed),
            'path': to_write(s.folder/'x.onnx', s.folder)}),
        Door('export_page', export.export_page, {'net': thing(s.student), 'step_list': thing(STEPS),
            'folder': to_write(s.folder/'page', s.folder)}),
        Door('seeds_of', pipelines.seeds_of, {'generator': thing(torch.Generator(), 'None'), 'batch': whole(2, 1)},
            ('batch: too high',)),
        Door('texts_of', pipelines.texts_of,
            {'prompt': text('a', 'another word, far too long, a zero byte, a negative number, a half, a Unicode digit, '
                'empty')}),
        Door('CausalVideoPipeline', pipelines.CausalVideoPipeline.around,
            {'net': thing(s.student), 'frames': whole(4, 2), 'step_list': thing(STEPS)}),
        Door('CausalVideoPipeline.stream', drained(pipeline.stream), {
            'prompt': text('7,right', 'empty'), 'steps': text('1', 'a number'),
                'num_frames': whole(4, 2, right='None'), 'generator': thing(torch.Generator(), 'None'),
        }),
        Door('CausalVideoPipeline()', pipeline, {'prompt': text('7,right', 'empty'), 'output_type': text('np'),
            'steps': same('1')}),
        Door('check_inputs', pipelines.CausalWanPipeline.check_inputs, {
            'num_frames': whole(81, 1, right='None'), 'height': whole(480, 1), 'width': whole(832, 1),
                'layout': thing(CausalLayout(3)),
        }),
        Door('study', students.study, {'settings': thing(students.ToySettings()),
            'folder': to_write(s.folder/'toy', s.folder, 'None, a folder'), 'device': text('cpu', 'None, empty')}),
    ]


def messages() -> list[bytes | str]:
    "What a browser must not send, as JSON or not."
    good: dict[str, Any] = {'digit': 7, 'direction': 'right', 'steps': '1', 'seed': 0}
    values: list[Any] = [None, '', 'x', '٣', -2, 10, 1.5, True, [], {}, 10 ** 30, 1e300, [7], {'a': 1}, 'right\0']
    found = [json.dumps({**good, name: value}) for name in good for value in values if (name, value) != ('seed', 10)]
    found += ['', '{', '[]', 'null', '3', '"x"', '{"digit": NaN}', '[' * 3000, '{"a":' * 2000,
        '{"digit": 7, "more": 1}', 'x' * 5000, '\0']
    return [*found, b'\xff\xfe', b'', b'{"digit": 1e999}']


def bad_commands(s: Shelf) -> list[list[str]]:
    "Words for the command line that ask for what cannot be had, beyond values that an option refuses by itself."
    f = str(s.folder)
    (s.folder/'binary.txt').write_bytes(bytes(range(128, 256)))
    (s.folder/'blank.txt').write_text('\n \n')
    (s.folder/'damaged.safetensors').write_bytes(b'\0' * 100)
    weights = ('no such', '', '٣', f, f'{f}/missing.safetensors', f'{f}/damaged.safetensors', f'{f}/good.json',
        'judge', '../asd', 'a\0b', 'x' * 5000)
    outs = (f'{f}/film.avi', f, '/proc/film.mp4', f'{f}/good.json/film.mp4', '', 'film', f'{f}/a\0b.mp4',
        f'{f}/{"x" * 300}.mp4')
    found = [[name, '--weights', word] for name in ('sample', 'evaluate', 'export', 'play') for word in weights]
    found += [['sample', '--out', out] for out in outs]
    found += [['sample', '--out', 'a.png', '--label', label] for label in ('10', 'x', '٣', '7,7', 'right,left',
        '7,right+', '²', '-1', '7;right', 'NaN')]
    steps = ('0', '5', '-1', '1.5', '²', '٣', '1**', '1,', ',', '1,2,3', 'NaN', '1*,2', '9' * 4000, ' ', '1 2',
        '4,1,1')
    found += [['sample', '--out', 'a.png', '--steps', word] for word in steps]
    found += [['sample', '--out', 'a.png', '--frames', word] for word in ('3', '99999', '0', '100001')]
    devices_ = ('gpu', 'cuda:99', 'cuda:-1', 'cuda:٣', 'mps:1', 'cpu:0', '٣', 'tpu')
    found += [[name, '--device', word] for name in ('sample', 'evaluate', 'train judge', 'train asd', 'reproduce',
        'bench') for word in devices_]
    found = [[*words[0].split(), *words[1:]] for words in found]
    found = [[*words, '--folder', f'{f}/trial'] if words[0] == 'train' else words for words in found]
    names = ('no such', 'asd', 'teacher-1', 'dmd-', 'dmd-x', 'dmd-٣', 'dmd--1', '../dmd', '')
    found += [['train', 'dmd', '--folder', f'{f}/trial', '--name', name] for name in names if name]
    found += [['train', kind, '--folder', f'{f}/trial'] for kind in ('ar', 'paths', 'init', 'dmd',
        'asd')]      # nothing to start from
    folders = ('/proc/x', f'{f}/good.json', f'{f}/good.json/below', f'{f}/{"x" * 300}')
    found += [['train', kind, '--folder', folder] for kind in ('judge', 'teacher', 'asd') for folder in folders]
    found += [['reproduce', '--size', 'tiny', '--folder', folder] for folder in folders]
    found += [['toy', '--out', folder] for folder in folders]
    found += [['train', 'teacher', '--folder', f'{f}/trial', '--batch', word] for word in ('7', '65', '1')]
    found += [['train', 'judge', '--folder', f'{f}/trial', '--block', '3'],
        ['train', 'judge', '--folder', f'{f}/trial', '--turns', '7']]
    found += [['embed', '--prompts', word] for word in (f, f'{f}/missing.txt', f'{f}/binary.txt', f'{f}/blank.txt',
        '', 'x' * 5000)]
    found += [['verify', '--room', word] for word in ('no such', '', '٣')]
    files_ = ('/proc/x.json', f, f'{f}/good.json/x.json', f'{f}/{"x" * 300}.json')
    writers = 'verify', 'bench', 'plan', 'evaluate', 'toy', 'report'
    found += [[name, '--json', word] for name in writers for word in files_]
    found += [['report', '--campaign', word] for word in (f, f'{f}/missing.json', f'{f}/binary.txt', f'{f}/good.json')]
    found += [['plan', '--frames', '20'], ['plan', '--chunk', '5'], ['export', '--out', '/proc/x'],
        ['gallery', '--out', '/proc/x'], ['gallery']]
    return found


def all_doors(s: Shelf) -> list[Door]:
    "Every door."
    rooms = (
        randomness_doors, model_doors, world_doors, flow_doors, rollout_doors, loss_doors, stage_doors, file_doors,
            picture_doors,
        measure_doors, live_doors,
    )
    return [door for room in rooms for door in room(s)]
