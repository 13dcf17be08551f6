"Streams, the live page, and what a browser sees of it."
import asyncio
import copy
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from browser.measure import drive, files_server, inputs_file, record
from dot import Dot
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from asdvideo import bench, export, live, long
from asdvideo.cache import RingCache
from asdvideo.checkpoints import publish
from asdvideo.commands import Embed, Export, Plan
from asdvideo.denoiser import CausalLayout
from asdvideo.digits import DigitsSettings, SteeredDigits, ask
from asdvideo.errors import AsdError
from asdvideo.measures import Reference, load_judge
from asdvideo.player import Player
from asdvideo.randomness import Draws, seed_of, stream
from asdvideo.rollout import Noise, rollout
from asdvideo.sampling import Sampler, generate, load
from asdvideo.schedule import Schedule, StepList
from asdvideo.stream import VideoStream, Wish
from asdvideo.teacher import Guided
from asdvideo.transformer import NetworkConfig, VideoTransformer, rotary_table
from asdvideo.wan import memory
from asdvideo.wan.training import embed_prompts

FRAME = (1, 24, 24)
STUDENTS = {'dot': (Dot(), StepList(4)), 'twin': (Dot(), StepList(4))}


def network(layout: CausalLayout) -> VideoTransformer:
    torch.manual_seed(0)
    net = VideoTransformer(NetworkConfig(width=40, depth=2, heads=2), layout).eval()
    for weight in net.parameters():
        weight.data += .1 * torch.randn_like(weight)
    return net


# streams

@pytest.mark.parametrize('layout', [
    CausalLayout(2), CausalLayout(2, window=6), CausalLayout(2, window=6, sink=2),
    CausalLayout(3, first=1, window=7), CausalLayout(1, window=1),
], ids=str)
@pytest.mark.parametrize('name', ['1', '1*', '3'])
def test_a_stream_is_the_rollout(layout, name):
    net, schedule, frames = network(layout), Schedule.parse(name, StepList(4, 3.)), layout.size(0) + 4 * layout.chunk
    condition = ask('3,left+up+down', frames, 2).map(lambda x: x.expand(4, -1, -1))
    noise = Noise((4, frames, *FRAME), [7, 8], layout)
    with torch.no_grad():
        whole = rollout(net, noise, schedule, condition)
    video, start = VideoStream(net, FRAME, schedule, seeds=[7, 8], batch=4), 0
    for size in noise.sizes:
        video.condition = condition.frames(start, start + size)
        assert next(video).equal(whole[:, start:start + size])
        start += size


@pytest.mark.parametrize('cache', [None, RingCache], ids=['value', 'ring'])
@pytest.mark.parametrize('layout', [CausalLayout(2, window=6), CausalLayout(2, window=6, sink=2)], ids=str)
def test_a_stream_with_guidance_is_the_rollout(layout, cache):
    "Guidance reads the cache for told and open labels at once, so the cache holds both."
    net, schedule = Guided(network(layout), 1.5), Schedule.parse('2', StepList(4, 3.))
    with torch.no_grad():
        whole = rollout(net, Noise((1, 12, *FRAME), 7, layout), schedule, ask('3,left', 12))
        plain = rollout(net.model, Noise((1, 12, *FRAME), 7, layout), schedule, ask('3,left', 12))
    video = VideoStream(net, FRAME, schedule, ask('3,left', 1), 7, cache=None if cache is None else cache(layout))
    found = torch.cat([next(video) for _ in range(6)], 1)
    assert found.equal(whole) if cache is None else (found - whole).abs().max() < 1e-4
    assert (whole - plain).abs().max() > 1e-2


def test_a_stream_decodes_what_it_hands_out():
    seen = []

    def decode(chunk):
        seen.append(chunk)
        return len(seen)

    video = VideoStream(Dot(), FRAME, Schedule.parse(1, StepList(4)), ask('right', 1), decode=decode)
    assert [next(video), next(video)] == [1, 2]
    assert seen[0].shape == (1, 2, *FRAME)


@pytest.mark.parametrize('name', ['2', '3,1,2'])
def test_a_stream_of_a_length_is_the_whole_rollout(name):
    net, schedule, condition = network(CausalLayout(2)), Schedule.parse(name, StepList(4, 3.)), ask('3,left+up', 6)
    with torch.no_grad():
        whole = rollout(net, Noise((1, 6, *FRAME), 7, net.layout), schedule, condition)
    jumps = []
    video = VideoStream(net, FRAME, schedule, condition, 7, length=6, callback=lambda *facts: jumps.append(facts[:2]))
    assert torch.cat(list(video), 1).equal(whole)
    assert jumps == [(i, step) for i in range(3) for step in range(len(schedule.of(i)))]
    with pytest.raises(StopIteration):
        next(video)


def test_what_a_stream_refuses():
    schedule = Schedule.parse(1, StepList(4))
    with pytest.raises(AsdError, match='bidirectional'):
        VideoStream(network(CausalLayout()), FRAME, schedule)
    with pytest.raises(AsdError, match='one number for all chunks'):
        next(VideoStream(Dot(), FRAME, Schedule.parse('1,2', StepList(4)), ask('', 1)))
    with pytest.raises(AsdError, match='labels for 5 frames'):
        next(VideoStream(Dot(), FRAME, schedule, ask('', 5)))
    with pytest.raises(AsdError, match='the same number of videos for each seed'):
        VideoStream(Dot(), FRAME, schedule, seeds=[1, 2], batch=3)
    with pytest.raises(AsdError, match='Choose for example 4'):
        VideoStream(Dot(), FRAME, schedule, length=5)
    with pytest.raises(AsdError, match='a schedule for 3 chunks'):
        next(VideoStream(Dot(), FRAME, Schedule.parse('1,2', StepList(4)), ask('', 1), length=6))


class LateRing(RingCache):
    "A ring whose first frame is frame 100,000,000."

    late = 10 ** 8

    def __init__(self, layout):
        super().__init__(layout)
        self.frames = self.late

    @property
    def filled(self):
        return min(self.frames - self.late, self.size)

    def slot(self):
        return (self.frames - self.late) % self.size


def test_a_long_stream_keeps_few_tables_of_places():
    "A table of Wan at 480x832 takes megabytes, so a stream must not keep one for each chunk."
    rotary_table.cache_clear()
    video = VideoStream(network(CausalLayout(2, window=4)), FRAME, Schedule.parse(1, StepList(4)))
    for _ in range(20):
        next(video)
    assert rotary_table.cache_info().currsize <= 16


def test_far_from_the_start_a_chunk_is_the_same():
    "The network sees only differences of places; at frame 100,000,000 they are as exact as at frame 0."
    net = network(CausalLayout(2, window=6))
    schedule, caches = Schedule.parse(2, StepList(4)), (RingCache(net.layout), LateRing(net.layout))
    videos = [VideoStream(net, FRAME, schedule, ask('5,up', 1), cache=cache) for cache in caches]
    for _ in range(6):
        assert (next(videos[0]) - next(videos[1])).abs().max() < 1e-4


# the server

async def converse(address, *messages):
    line = await websocket_connect(HTTPRequest(f'ws{address[4:]}socket', headers={'Origin': address[:-1]}))
    answers = []
    for message in messages:
        await line.write_message(message)
        answers.append(json.loads(await line.read_message()))
    line.close()
    return answers


def serve(body):
    async def run():
        async with live.serving(STUDENTS) as address:
            return await body(address)

    return asyncio.run(run())


def test_a_socket_answers_and_survives_bad_messages():
    good = json.dumps({'digit': 3, 'direction': 'left', 'steps': '2'})
    answers = serve(lambda address: converse(address, good, 'nonsense', '{"direction": 5}', '[' * 4000, good))
    assert [list(answer) == ['error'] for answer in answers] == [False, True, True, True, False]
    assert answers[4]['chunk'] == 2
    assert answers[0]['students'][0]['passes'] == 2


def test_two_students_get_the_same_noise():
    "The pictures of an untrained network are made of its noise, so equal pictures mean equal noise."
    net = network(CausalLayout(2, window=4))
    session = live.Session({'one': (net, StepList(4)), 'two': (copy.deepcopy(net), StepList(4))})
    pictures = []
    for wish in (Wish(steps='2'), Wish(steps='2'), Wish(steps='2', seed=1)):
        one, two = session.answer(wish)['students']
        assert one['pixels'] == two['pixels']
        pictures.append(one['pixels'])
    assert len(set(pictures)) == 3


def test_another_seed_begins_another_video():
    answers = serve(lambda address: converse(address, '{}', '{}', '{"seed": 1}'))
    assert [answer['chunk'] for answer in answers] == [1, 2, 1]


def test_a_message_that_is_too_long_ends_the_conversation_only():
    async def body(address):
        line = await websocket_connect(HTTPRequest(f'ws{address[4:]}socket', headers={'Origin': address[:-1]}))
        await line.write_message(' ' * (live.MESSAGE_LIMIT + 1))
        assert await line.read_message() is None
        return await converse(address, '{}')

    assert serve(body)[0]['chunk'] == 1


@pytest.mark.parametrize('path, headers', [
    ('http', {'Host': 'evil.example'}), ('http', {'Host': '127.0.0.1'}), ('ws', {'Origin': 'http://evil.example'}),
    ('ws', {'Origin': 'null'}), ('ws', {'Origin': 'OWN', 'Host': 'evil.example'}),
], ids=str)
def test_strangers_are_refused(path, headers):
    async def body(address):
        given = {name: value.replace('OWN', address[:-1]) for name, value in headers.items()}
        url = address if path == 'http' else f'ws{address[4:]}socket'
        request = HTTPRequest(url, headers=given)
        with pytest.raises(HTTPClientError) as caught:
            await (AsyncHTTPClient().fetch(request) if path == 'http' else websocket_connect(request))
        return caught.value.code

    assert serve(body) == 403


def test_only_this_machine_is_listened_to():
    sockets, _ = live.free_sockets(8000)
    assert [s.getsockname()[0] for s in sockets] == ['127.0.0.1']
    again, port = live.free_sockets(sockets[0].getsockname()[1])
    assert port != sockets[0].getsockname()[1]
    for s in (*sockets, *again):
        s.close()


def test_the_port_is_free_again_after_closing():
    async def body(address):
        return int(address.rstrip('/').split(':')[-1])

    port = serve(body)
    sockets, again = live.free_sockets(port)
    sockets[0].close()
    assert again == port


def test_the_page_asks_for_nothing_from_elsewhere():
    names = 'index.html', 'socket.js', 'student.js'
    page = ''.join((live.PACKAGE/'pages'/name).read_text() for name in names)
    assert 'http://' not in page and 'https://' not in page and 'src=' not in page


# the player in a notebook

def loops():
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == 'Player.run']


def test_pause_and_play_in_a_moment_is_one_loop():
    async def run():
        player = Player(Dot(), StepList(4), speed=20)
        for value in (True, False, True, False, True):
            player.playing.value = value
            await asyncio.sleep(.001)
        found = len(loops())
        player.playing.value = False
        await player.task
        chunk = player.video.chunk
        player.playing.value = True
        await asyncio.sleep(.01)
        player.playing.value = False
        await player.task
        return found, player.video.chunk - chunk

    found, more = asyncio.run(run())
    assert found == 1 and more == 1


def test_a_player_is_set_free_again():
    player = Player(Dot(), StepList(4))
    wishes = []
    for button in player.view.children[1].children[0].children:
        button.click()
        wishes.append(player.wish.direction)
    assert wishes == ['left', 'up', 'down', 'right', 'free']


def test_a_star_acts_on_the_first_chunk_and_the_viewer_is_told():
    player = Player(Dot(), StepList(4))
    player.step()
    player.steps.value = '1*'
    player.step()
    assert player.video.passes == 1
    player.again()
    player.step()
    assert player.video.passes == 4
    texts = [child.value for child in player.view.children[1].children if type(child).__name__ == 'HTML']
    assert any('first chunk only: press' in text for text in texts)
    assert 'first chunk only: press' in (live.PACKAGE/'pages'/'index.html').read_text()


# the browser

def test_a_browser_shows_and_steers(browser, tmp_path):
    facts = serve(lambda address: drive('live.mjs', browser, address, tmp_path/'live.png'))
    assert facts['problems'] == []
    assert facts['right']['x'] > facts['left']['x'] + .3
    assert facts['down']['y'] > facts['up']['y'] + .3
    assert facts['one'].startswith('1 pass,') and facts['four'].startswith('4 passes,')
    assert facts['paused'] == facts['down']
    assert facts['resumed']['y'] < facts['paused']['y'] - .3
    assert facts['pressed'] == '7'
    assert facts['swiped']['x'] < facts['right']['x'] - .2
    assert facts['touched']['x'] > facts['swiped']['x'] + .2, 'a finger that moves to the right'
    assert facts['graph']['pixels'] > 200, 'the graph of latency has no line'
    assert facts['graph']['colours'] == 2, 'one line for each student'


# speed

@pytest.mark.parametrize('layout', [CausalLayout(2), CausalLayout(2, window=6, sink=2)], ids=str)
def test_everything_computed_again_is_the_same_video(layout):
    net, schedule = network(layout), Schedule.parse('1*', StepList(4, 3.))
    noise, condition = Noise((2, 8, *FRAME), 3, layout), ask('3,left+up', 8).map(lambda x: x.expand(2, -1, -1))
    with torch.no_grad():
        cached = rollout(net, noise, schedule, condition)
    assert (bench.recomputed(net, noise, schedule, condition) - cached).abs().max() < 1e-4


def test_runs_take_turns_and_the_first_round_does_not_count():
    order = []
    seconds = bench.race({'a': lambda: order.append('a'), 'b': lambda: order.append('b')}, 3)
    assert order == ['a', 'b'] * 4
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_a_table_says_the_share_of_a_limit_the_right_way_round():
    figures = [bench.figure('x', 'time', [2., 2., 2.], 's', 1.), bench.figure('x', 'rate', [2., 2., 2.], 'GFLOP/s', 8.)]
    figures += [bench.figure('x', 'slower', [2.], 'times', at_most=1.5), bench.figure('x', 'gain', [2.], at_least=1.5)]
    facts = {'machine': bench.machine(torch.device('cpu')), 'settings': {'clock': 'wall'}, 'seconds': 1}
    text = bench.describe({**facts, 'figures': [asdict(f) for f in figures]})
    assert 'share 0.50' in text and 'share 0.25' in text
    assert 'goal: at most 1.5, missed' in text and 'goal: at least 1.5, reached' in text


def test_the_processor_clock_does_not_run_while_one_waits():
    seconds = bench.race({'wait': partial(time.sleep, .02)}, 3, clock='processor')['wait']
    assert max(seconds) < .02 <= min(bench.race({'wait': partial(time.sleep, .02)}, 3)['wait'])


@pytest.mark.parametrize('name', ['1*', '4'])
def test_the_passes_alone_are_all_passes(name):
    net, schedule, calls = network(CausalLayout(2)), Schedule.parse(name, StepList(4, 3.)), []
    run = bench.passes_alone(net, Noise((1, 8, *FRAME), 3, net.layout), schedule, ask('3', 8))
    net.blocks[0].attention.register_forward_hook(lambda *_: calls.append(1))
    run()
    assert len(calls) == schedule.passes(4)['total']


def test_attention_counts_as_work():
    q = torch.randn(1, 2, 6, 4)
    assert bench.flops(partial(torch.nn.functional.scaled_dot_product_attention, q, q, q)) == 2 * 2 * 2 * 6 * 6 * 4


def test_the_work_of_a_training_step_is_counted():
    net = network(CausalLayout(2))
    work = []
    for batch in (8, 16, 24):
        stage = bench.Bench(bench.BenchSettings(batch=batch), 'cpu', net).stages()['teacher']
        work.append(bench.flops(partial(stage.train_step, 0)))
    assert work[2] - work[1] == work[1] - work[0] > 0


def test_the_work_is_counted_at_the_steps_that_are_timed(monkeypatch):
    class Stage:
        def __init__(self):
            self.steps = []

        def train_step(self, step):
            self.steps.append(step)

    stages, counted = {name: Stage() for name in ('teacher', 'dmd', 'asd')}, []
    monkeypatch.setattr(bench.Bench, 'stages', lambda self: stages)
    monkeypatch.setattr(bench, 'flops', lambda run: counted.append(run.args[0]) or 10 ** 9)
    monkeypatch.setattr(bench, 'peak_bytes', lambda run, device: 1)
    list(bench.Bench(bench.BenchSettings(slow_rounds=3), 'cpu', network(CausalLayout(2))).training())
    for stage in stages.values():
        assert stage.steps[1:] == [3, 4, 5]
    assert counted == [3, 4, 5] * 3


# long videos

def test_long_videos_are_measured_in_stretches():
    world = SteeredDigits(DigitsSettings(frames=40))
    reference = Reference.of_world(load_judge('cpu'), SteeredDigits(), 24)
    video = world.sample(Draws([stream(0)], 8))[0]
    found = long.drift(reference, video, 12)
    assert found.frames == [6, 18, 30]
    assert all(len(curve) == 3 for curve in found.curves.values())
    dark = long.drift(reference, torch.cat([video[:, :12], -torch.ones_like(video[:, 12:])], 1), 12)
    assert dark.curves['ink'][0] == pytest.approx(found.curves['ink'][0])
    assert dark.curves['ink'][1:] == [0, 0] and dark.curves['survival'][1:] == [0, 0]
    assert dark.slope('distance') > found.slope('distance')
    assert dark.curves['coverage'][0] > .1 and max(dark.curves['coverage'][1:]) < .05


def test_a_long_video_is_a_stream():
    schedule = Schedule.parse('1', StepList(4))
    net = network(CausalLayout(2))
    video = long.write_long(net, CausalLayout(2, window=4), schedule, FRAME, 5, 2)
    net.layout = CausalLayout(2, window=4)
    again = VideoStream(net, FRAME, schedule, batch=2)
    assert video.equal(torch.cat([next(again) for _ in range(5)], 1))


def test_long_videos_of_a_student():
    sampler = Sampler(network(CausalLayout(2)), StepList(4), 12, 'blank')
    settings = long.LongSettings(times=2, steps=('1', '2'), layouts=('window 6, sink 2',), videos=4, real=24)
    result = long.measure_long([sampler], settings)
    rows, names = result['rows'], ['1', '2', 'mix']
    assert [(row['network'], row.get('steps')) for row in rows] == [('real', None), *(('blank', n) for n in names)]
    first = [row['curves']['distance'][0] for row in rows[1:]]
    pair, = result['answer']['pairs']
    assert pair['between_first'] == pytest.approx((first[0] + first[1]) / 2 - first[2], abs=2e-4)
    growth = [row['slopes']['distance'] for row in rows[1:3]]
    assert pair['in_time'] == pytest.approx(sum(growth) / 2, abs=2e-4)
    assert all(row['frames'] == [6, 18] and len(row['curves']['distance']) == 2 for row in rows)
    assert rows[1]['slopes']['distance'] == pytest.approx(np.subtract(*rows[1]['curves']['distance'][::-1]), abs=2e-4)
    text = long.describe_long(result)
    assert 'sink 2' in text and 'Does drift between step counts show up as drift in time? not known' in text


def test_another_digit_does_not_survive():
    "The video goes on with a digit in every frame, but after the first stretch with another one than was asked for."
    reference = Reference.of_world(load_judge('cpu'), SteeredDigits(), 24)
    video, shown = SteeredDigits(DigitsSettings(frames=24, cut=0.)).sample(Draws([stream(0)], 40))
    digits = shown.labels[:, 0, 0]
    kept = long.drift(reference, video, 12, digits)
    other = (digits[:, None] != digits).float().argmax(1)
    changed = long.drift(reference, torch.cat([video[:, :12], video[other, 12:]], 1), 12, digits)
    assert min(kept.curves['same']) > .85 and changed.curves['same'][0] > .85
    assert changed.curves['same'][1] < .1 and changed.curves['survival'][1] > .85


# students that were trained without a window

@pytest.fixture
def weights(tmp_path):
    "The files of two students that see everything, as the shipped ones do."
    paths = [tmp_path/name/f'{name}.safetensors' for name in ('one', 'two')]
    for path in paths:
        net = network(CausalLayout(2))
        publish(net, path, **Sampler(net, StepList(4, 3.), 12).facts())
    return paths


def test_an_endless_student_has_a_window(weights):
    sampler = load(weights[0], 'cpu')
    assert sampler.net.layout.window is None and sampler.endless.layout == CausalLayout(2, window=12)
    schedule = Schedule.parse('1*', sampler.step_list)
    video = VideoStream(sampler.endless, FRAME, schedule, seeds=seed_of(0, 'generate', 0), cache=None)
    long_one = generate(sampler, '1*', ask('', 16, 2))
    assert (torch.cat([next(video) for _ in range(8)], 1).clamp(-1, 1) - long_one).abs().max() < 1e-4


def test_play_shows_students_of_different_names(weights):
    seen = []

    def stop(line):
        seen.append(line)
        raise KeyboardInterrupt

    live.play(weights, browser=False, announce=stop)
    assert 'http://127.0.0.1:' in seen[0]
    with pytest.raises(AsdError, match='different names'):
        live.play([weights[0], weights[0]], browser=False)


PLAY = '''
import signal, sys
from asdvideo import live
signal.signal(signal.SIGINT, signal.default_int_handler)
live.play([sys.argv[1]], browser=False, announce=lambda line: print(line, flush=True))
'''


def test_ctrl_c_ends_it_although_somebody_watches(weights):
    async def run():
        words = sys.executable, '-c', PLAY, str(weights[0])
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        address = next(word for word in (await process.stdout.readline()).decode().split() if '://' in word)
        line = await websocket_connect(HTTPRequest(f'ws{address[4:]}socket', headers={'Origin': address[:-1]}))
        await line.write_message('{}')
        first = json.loads(await line.read_message())
        process.send_signal(signal.SIGINT)
        last = await asyncio.wait_for(line.read_message(), 60)
        return first['chunk'], last, await asyncio.wait_for(process.wait(), 60)

    assert asyncio.run(run()) == (1, None, 0)


@pytest.fixture
def stranger(tmp_path):
    "The file of a student of somebody's own clips."
    torch.manual_seed(0)
    net = VideoTransformer(NetworkConfig(width=40, depth=2, heads=2, labels=(3,)), CausalLayout(2))
    own = {'names': [['a', 'b', 'c']], 'kinds': ['kind']}
    return publish(net, tmp_path/'own.safetensors', **Sampler(net, StepList(4), 12, own=own).facts())


def test_students_of_own_clips_are_neither_played_nor_exported(stranger, tmp_path):
    with pytest.raises(AsdError, match='trained on your own clips'):
        live.play([stranger], browser=False, announce=pytest.fail)
    for kind in ('page', 'onnx'):
        with pytest.raises(AsdError, match='trained on your own clips'):
            Export(str(stranger), kind, str(tmp_path/'out')).run()
    with pytest.raises(AsdError, match='a student of the steered digits'):
        export.export_onnx(load(stranger, 'cpu').endless, tmp_path/'student.onnx')


# commands for Wan

def test_embed_probes_the_file_that_is_written(tmp_path):
    (tmp_path/'prompts.txt').write_text('a corgi')
    folder = embed_prompts(lambda texts: torch.ones(len(texts), 2, 3), ['a corgi'], tmp_path/'texts', quiet=True)
    command = Embed(str(tmp_path/'prompts.txt'), out=str(folder))
    assert command.outputs() == [str(path) for path in folder.glob('*.safetensors')]


@pytest.mark.parametrize('kind', ['dmd', 'asd', 'ode'])
def test_plan_knows_every_stage(kind, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(memory, 'plan', lambda settings, wan: seen.append(settings.kind) or {'fits': True})
    monkeypatch.setattr(memory, 'describe_plan', lambda result: 'fits')
    assert Plan(kind=kind).run() == 0 and seen == [kind]


# without Python

missing = [name for name in ('onnxruntime', 'onnxscript') if find_spec(name) is None]
onnx = pytest.mark.skipif(bool(missing), reason='needs the extra onnx')


@pytest.mark.parametrize('layout', [
    CausalLayout(2), CausalLayout(2, window=5), CausalLayout(2, window=6, sink=1), CausalLayout(),
], ids=str)
def test_only_students_with_whole_windows_are_exported(layout, tmp_path):
    with pytest.raises(AsdError, match='a window and a sink of whole chunks'):
        export.export_onnx(network(layout), tmp_path/'student.onnx')


@pytest.mark.parametrize('happens', ['fails', 'hangs', 'cannot start', 'brings nothing'])
def test_without_the_runtime_there_is_no_page_but_an_error(happens, tmp_path, monkeypatch):
    def npm(words, **_):
        assert words[-1] == f'onnxruntime-web@{export.RUNTIME_VERSION}' and words[-1][-1].isdigit()
        if happens == 'hangs':
            raise subprocess.TimeoutExpired(words, 1)
        if happens == 'cannot start':
            raise PermissionError('npm')
        return subprocess.CompletedProcess(words, int(happens == 'fails'), '', 'no network')

    monkeypatch.setattr(export.shutil, 'which', lambda name: name)
    monkeypatch.setattr(export.subprocess, 'run', npm)
    with pytest.raises(AsdError, match='onnxruntime-web'):
        export.fetch_runtime(tmp_path)


@onnx
def test_the_shipped_student_is_exported_exactly(tmp_path):
    "Keys and values of a trained network are large numbers, so their error is measured in relation to them."
    net = load('asd', 'cpu').endless
    run = export.runner(export.export_onnx(net, tmp_path/'student.onnx'))
    for chunks in (0, 2, 5):
        inputs = export.ChunkPass(net).example(chunks, 2 * chunks, torch.Generator().manual_seed(chunks))
        with torch.no_grad():
            x0, own = export.ChunkPass(net).eval()(**inputs)
        found = run(**inputs)
        assert (found[0] - x0).abs().max() <= 1e-4
        assert (found[1] - own).abs().max() <= 1e-4 * own.abs().max()


@onnx
def test_a_browser_computes_what_torch_computes(browser, tmp_path):
    net = network(CausalLayout(2, window=6))
    try:
        export.export_page(net, StepList(4, 3.), tmp_path)
    except AsdError as error:
        if 'onnxruntime-web' in str(error):
            pytest.skip(f'npm: {error}')
        raise
    inputs = inputs_file(net, tmp_path)
    server = files_server(tmp_path)
    address = f'http://127.0.0.1:{server.server_address[1]}/'
    facts = asyncio.run(drive('export.mjs', browser, address, tmp_path/'page.png'))
    server.shutdown()
    server.server_close()
    assert facts['rate'] > 1, 'frames per second on the page'
    assert record(facts, 'blank')['frames_per_second'] == round(facts['rate'], 1) and facts['version']
    assert facts['problems'] == []
    assert facts['first'] != facts['later']
    assert facts['one'].startswith('1 pass,') and facts['four'].startswith('4 passes,')
    with torch.no_grad():
        x0, own = export.ChunkPass(net)(**inputs)
    assert (torch.tensor(facts['pass']['x0']) - x0.flatten()).abs().max() < 1e-4
    assert (torch.tensor(facts['pass']['own']) - own.flatten()).abs().max() < 1e-4
