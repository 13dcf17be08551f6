"Wan under our contract: precision, memory, faults, and training that resumes."
import copy

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
from safetensors.torch import save_file

from asdvideo.cache import RingCache
from asdvideo.causal import by_chunks
from asdvideo.denoiser import CausalLayout, Condition
from asdvideo.errors import AsdError
from asdvideo.pipelines import CausalWanPipeline, ChunkDecoder, tiny_wan_pipeline
from asdvideo.randomness import stream
from asdvideo.rollout import Noise, rollout
from asdvideo.schedule import Schedule, StepList
from asdvideo.settings import changed
from asdvideo.shards import read_header
from asdvideo.teacher import Guided
from asdvideo.training import fit
from asdvideo.wan.checkpoints import load_wan, read_tensors, save_wan
from asdvideo.wan.model import CausalWan, FrameAttention, WanCache, random_wan
from asdvideo.wan.training import (
    WAN_ASD,
    WAN_DMD,
    Paths,
    PathSettings,
    Prompts,
    PromptWorld,
    WanSettings,
    embed_prompts,
    make_paths,
    wan_stage,
)

SMALL = WanSettings(frames=4, chunk=2, rows=4, cols=4)


def shaken(net):
    "Weights with which attention matters."
    with torch.no_grad():
        for name, p in net.named_parameters():
            if 'attn' in name and p.dim() == 2:
                p.mul_(4)
    return net


@pytest.fixture(scope='module')
def inputs():
    g = torch.Generator().manual_seed(1)
    xt, sigma = torch.randn(2, 6, 4, 8, 8, generator=g), torch.rand(2, 6, generator=g)
    return xt, sigma, Condition(text=torch.randn(2, 6, 16, generator=g))


@pytest.fixture(scope='module')
def prompts(tmp_path_factory):
    def encode(texts):
        return torch.stack([torch.randn(4, 16, generator=stream(0, text)) for text in texts])
    folder = tmp_path_factory.mktemp('prompts')
    return Prompts(embed_prompts(encode, ['one', 'two', 'three'], folder, shard=2, quiet=True))


@pytest.mark.parametrize('dtype, bound', ((torch.float64, 1e-6), (torch.float32, 2e-5), (torch.bfloat16, .02)))
@pytest.mark.parametrize('layout', (CausalLayout(2), CausalLayout(2, window=4, sink=2), CausalLayout(2, first=4)))
@torch.no_grad()
def test_cached_is_masked(inputs, layout, dtype, bound):
    xt, sigma, text = inputs
    net = shaken(random_wan(layout=layout)).to(dtype)
    whole, parts = net(xt, sigma, text), by_chunks(net, xt, sigma, text)
    assert ((parts - whole).float().norm() / whole.float().norm()) < bound
    if layout.first is None:
        ring = by_chunks(net, xt, sigma, text, WanCache(RingCache(layout, 6)))
        assert ((ring - whole).float().norm() / whole.float().norm()) < bound


@torch.no_grad()
def test_places_do_not_depend_on_the_precision(inputs):
    "In bf16, 300 and 301 are one number; frame 300 and 301 must be two."
    xt, sigma, text = inputs
    net = shaken(random_wan(layout=CausalLayout(2))).to(torch.bfloat16)
    one, two = net.rotary(xt.bfloat16(), 300), net.rotary(xt.bfloat16(), 301)
    assert one[0].dtype == torch.float32 and not torch.equal(one[0], two[0])


@torch.no_grad()
def test_guidance_with_caches(inputs):
    "Guidance doubles the batch; told and open sides agree with two separate passes."
    xt, sigma, text = inputs
    net = shaken(random_wan(layout=CausalLayout(2)))
    both = Guided(net, 3.)
    told, untold = net(xt, sigma, text), net(xt, sigma, Condition())
    torch.testing.assert_close(both(xt, sigma, text), torch.lerp(untold, told, 3.), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(by_chunks(both, xt, sigma, text), both(xt, sigma, text), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_new_text_in_the_middle_of_a_video(inputs):
    "The remembered keys belong to one text; another one is embedded anew."
    xt, sigma, text = inputs
    net = shaken(random_wan(layout=CausalLayout(2)))
    other = Condition(text=text.text.flip(0))
    cache = net.append(net.empty_cache(), xt[:, :2], text)
    fresh = WanCache(cache.within)
    here = net(xt[:, 2:4], sigma[:, 2:4], other, cache)
    torch.testing.assert_close(here, net(xt[:, 2:4], sigma[:, 2:4], other, fresh))
    assert (here - net(xt[:, 2:4], sigma[:, 2:4], text, cache)).abs().max() > 1e-4


def test_a_forgotten_past_is_noticed(inputs):
    "The mutant that ignores the cache must fail the comparison above."
    xt, sigma, text = inputs

    class Forgetful(FrameAttention):
        def look(self, attn, x, sight):
            sight.cache = None
            return super().look(attn, x, sight)

    net = shaken(random_wan(layout=CausalLayout(2)))
    whole = net(xt, sigma, text).detach()
    for layer, block in enumerate(net.blocks):
        block.attn1.set_processor(Forgetful(layer))
    with torch.no_grad():
        assert (by_chunks(net, xt, sigma, text) - whole).norm() / whole.norm() > 1e-3


def test_bf16_training_step(inputs):
    "Under autocast the velocity stays near fp32, and gradients are finite."
    _, _, text = inputs
    net = shaken(random_wan(layout=CausalLayout(2), checkpointing=True))
    noise = Noise((2, 6, 4, 8, 8), 0, net.layout)
    schedule = Schedule.parse(2, StepList(4))
    plain = rollout(net, noise, schedule, text, grad=True)
    with torch.autocast('cpu', torch.bfloat16, cache_enabled=False):
        half = rollout(net, noise, schedule, text, grad=True)
    half.square().mean().backward()
    assert (half - plain).norm() / plain.norm() < .03
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize('settings', (WAN_DMD, WAN_ASD), ids=('dmd', 'asd'))
def test_wan_resumes(tmp_path, prompts, settings):
    "Three steps at once, or one and then two more from the saved state: the same bits."
    quick = changed(settings, steps=3, batch=2, fake_rounds=1, student__lr=1e-3)
    kind = 'asd' if settings is WAN_ASD else 'dmd'
    quick = changed(quick, calibrate=1) if kind == 'asd' else quick

    def stage():
        return wan_stage(kind, random_wan().model, prompts, changed(SMALL, lora=2), quick)

    straight, first, second = stage(), stage(), stage()
    fit(straight, None, quiet=True)
    fit(first, tmp_path, quiet=True, stop_after=1)
    fit(second, tmp_path, quiet=True)
    for name, p in straight.student.model.state_dict().items():
        assert torch.equal(second.student.model.state_dict()[name], p), name


def test_paths(tmp_path, prompts):
    world, short = PromptWorld(prompts, (4, 4, 4, 4)), PathSettings(count=4, shard=2, euler=8)
    make_paths(random_wan(), world, tmp_path/'a', short, quiet=True)
    paths = Paths(tmp_path/'a', prompts)
    assert len(paths) == 4 and read_header(tmp_path/'a'/'00000.safetensors')[1]['points'] == [2, 5, 4, 4, 4, 4]
    with pytest.raises(AsdError, match='paths of this teacher'):
        make_paths(random_wan(seed=1), world, tmp_path/'a', short, quiet=True)
    with pytest.raises(AsdError, match='multiple of 4'):
        make_paths(random_wan(), world, tmp_path/'b', changed(short, euler=9), quiet=True)
    with pytest.raises(AsdError, match='step list'):
        Paths(tmp_path/'a', prompts, StepList(2, 5.))


def test_bad_inputs(inputs, prompts, tmp_path):
    xt, sigma, text = inputs
    net = random_wan(layout=CausalLayout(2))
    for call in (
        lambda: net(xt[..., :7], sigma, text), lambda: net(xt[:, :5], sigma[:, :5], text),
        lambda: net(xt, sigma[:, :3], text), lambda: net(xt, sigma, Condition(text=text.text[:, :, :3])),
        lambda: net(xt, sigma, Condition(labels=torch.zeros(2, 6, 1))),
        lambda: net(xt, sigma, text, net.empty_cache(), xt),
        lambda: PromptWorld(prompts, (4, 4, 4, 4)).sample(None), lambda: Prompts(tmp_path),
        lambda: wan_stage('other', random_wan().model, prompts), lambda: wan_stage(
            'asd', copy.deepcopy(net.model), prompts, changed(SMALL, frames=3)),
    ):
        with pytest.raises(AsdError):
            call()


# pipelines

@pytest.fixture(scope='module')
def pipe():
    pipe = tiny_wan_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize('sizes', [[1] * 5, [3, 2], [1, 4], [5]], ids=str)
def test_frames_decoded_as_they_come_are_those_of_the_whole(pipe, sizes):
    latents = torch.randn(2, 5, 4, 4, 6, generator=seeded())
    decode = ChunkDecoder(pipe.vae)
    frames = torch.cat([decode(part) for part in latents.split(sizes, 1)], 1)
    config = pipe.vae.config
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (config.latents_mean, config.latents_std))
    with torch.no_grad():
        whole = pipe.vae.decode(latents.transpose(1, 2) * std + mean).sample.clamp(-1, 1).transpose(1, 2)
    assert frames.shape == (2, 17, 3, 32, 48)
    assert frames.equal(whole)


@pytest.mark.parametrize('steps', ['2', '1*', '3,1,2'])
def test_a_stream_is_the_whole_call(pipe, steps):
    how = {'steps': steps, 'num_frames': 33, 'height': 32, 'width': 32}
    whole = pipe(['a corgi', 'snow'], 'pt', generator=[seeded(1), seeded(2)], **how).frames
    chunks = list(pipe.stream(['a corgi', 'snow'], generator=[seeded(1), seeded(2)], **how))
    assert [chunk.shape[1] for chunk in chunks] == [9, 12, 12]
    assert torch.equal(torch.cat(chunks, 1) / 2 + .5, whole)


def test_a_stream_is_steered(pipe):
    "What was asked for, and the number of steps, act from the next chunk on: as if it had been known from the start."
    how = {'num_frames': 33, 'height': 32, 'width': 32}
    jumps = []
    video = pipe.stream(
        'a corgi', '1', generator=seeded(), callback_on_step_end=lambda *facts: jumps.append(facts[1:3]), **how
    )
    plain = list(pipe.stream('a corgi', '1,3,3', generator=seeded(), **how))
    found = [next(video)]
    video.ask(steps=3)
    found.append(next(video))
    video.ask('snow at dusk')
    found.append(next(video))
    assert found[0].equal(plain[0]) and found[1].equal(plain[1]) and not found[2].equal(plain[2])
    assert next(video, None) is None
    levels = [1000 * level for level in pipe.step_list.take(3)]
    assert jumps == list(enumerate([1000., *levels, *levels]))
    with pytest.raises(AsdError, match='steps'):
        video.ask(steps='9')


def test_an_endless_stream_needs_a_window_and_holds_no_more_than_it(pipe):
    with pytest.raises(AsdError, match='a window'):
        pipe.stream('a corgi', num_frames=None, height=32, width=32)
    parts = {name: getattr(pipe, name) for name in ('tokenizer', 'text_encoder', 'vae', 'scheduler', 'transformer')}
    endless = CausalWanPipeline(**parts, window=6)
    endless.set_progress_bar_config(disable=True)
    video = endless.stream('a corgi', '1', None, 32, 32, seeded())
    chunks = [next(video) for _ in range(5)]
    assert torch.cat(chunks, 1).isfinite().all() and not chunks[3].equal(chunks[4])
    whole = endless('a corgi', 'pt', steps='1', num_frames=57, height=32, width=32, generator=seeded()).frames
    assert torch.equal(torch.cat(chunks, 1) / 2 + .5, whole)
    assert {k.shape[2] for k, _ in video.cache.past(0)} == {3 * 4}


def test_a_callback_may_replace_the_latents(pipe):
    "As in diffusers: the latents in the dict that it returns are those of the next step."
    how = {'num_frames': 21, 'height': 32, 'width': 32}
    seen = []

    def middle(pipeline, step, timestep, tensors):
        seen.append(tensors['latents'])
        return {'latents': torch.zeros_like(tensors['latents'])}

    chunks = list(pipe.stream('a corgi', '2', generator=seeded(), callback_on_step_end=middle, **how))
    decode = ChunkDecoder(pipe.vae)
    assert len(seen) == 4
    for chunk in chunks:
        assert chunk.equal(decode(torch.zeros(1, 3, 4, 4, 4)))
    with pytest.raises(AsdError, match='latents'):
        next(pipe.stream('a corgi', '1', callback_on_step_end=lambda *_: {'latents': torch.zeros(1)}, **how))


@pytest.mark.parametrize('shift', [1.5, 3., 8.])
def test_the_levels_are_those_of_the_scheduler(pipe, shift):
    "None of these is the 5 that is taken where a scheduler has no shift."
    parts = {name: getattr(pipe, name) for name in ('tokenizer', 'text_encoder', 'vae', 'transformer')}
    shifted = CausalWanPipeline(**parts, scheduler=FlowMatchEulerDiscreteScheduler(shift=shift))
    assert shifted.step_list == StepList(4, shift)


def test_the_levels_of_a_stream_are_those_of_its_scheduler(pipe):
    "Not only the list: the noise levels that the network sees."
    parts = {name: getattr(pipe, name) for name in ('tokenizer', 'text_encoder', 'vae', 'transformer')}
    shifted = CausalWanPipeline(**parts, scheduler=FlowMatchEulerDiscreteScheduler(shift=2.))
    shifted.set_progress_bar_config(disable=True)
    seen = []
    next(shifted.stream('snow', '4', 9, 32, 32, seeded(), lambda pipe, step, time, tensors: seen.append(time)))
    assert seen == pytest.approx([1000 * level for level in StepList(4, 2.).levels])
    assert seen != pytest.approx([1000 * level for level in StepList(4, 5.).levels])


def test_diffusers_loads_what_is_saved(pipe, tmp_path):
    "Every part by diffusers itself, and all of them as its own pipeline for Wan: the same weights, the same pass."
    pipe.save_pretrained(tmp_path)
    theirs = WanPipeline.from_pretrained(tmp_path)
    alone = WanTransformer3DModel.from_pretrained(tmp_path/'transformer')
    latents, text = torch.randn(1, 4, 2, 4, 4, generator=seeded()), torch.randn(1, 6, 16, generator=seeded(1))
    with torch.no_grad():
        ours = CausalWan(pipe.transformer, null=text)(
            latents.transpose(1, 2), torch.full((1, 2), .5), Condition(text=text)).transpose(1, 2)
        for model in (theirs.transformer, alone):
            found = model(latents, torch.tensor([500.]), text).sample
            torch.testing.assert_close(found, ours, atol=1e-5, rtol=1e-4)
    for name, weight in pipe.vae.state_dict().items():
        assert theirs.vae.state_dict()[name].equal(weight), name


def test_an_interrupted_stream_ends(pipe):
    def stop(pipeline, step, timestep, tensors):
        pipeline.interrupted = True

    video = pipe.stream('a corgi', '1', 33, 32, 32, seeded(), stop)
    assert len(list(video)) == 1
    assert len(list(pipe.stream('a corgi', '1', 33, 32, 32))) == 3


def test_tensors_outlive_their_file(tmp_path):
    "A file that is cut short while its tensors are used: as long as they were mapped from it, the process died."
    truth = {'a': torch.arange(100_000.), 'b': torch.ones(7, dtype=torch.bfloat16)}
    file = tmp_path/'a.safetensors'
    save_file(truth, file)
    found = read_tensors(file)
    file.write_bytes(b'')
    assert all(torch.equal(found[name], tensor) for name, tensor in truth.items())


def test_a_transformer_is_replaced_as_a_whole(tmp_path, monkeypatch):
    "A save that fails leaves the older one; loaded weights do not notice when the folder is replaced."
    first, second = random_wan(seed=1).model, random_wan(seed=2).model
    save_wan(first, tmp_path)
    loaded = load_wan(tmp_path)

    def fails(part, **how):
        (part/'config.json').write_text('{}')
        raise OSError('no space left')

    monkeypatch.setattr(second, 'save_pretrained', fails)
    with pytest.raises(AsdError, match='no space left'):
        save_wan(second, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(load_wan(tmp_path).parameters(), first.parameters()))
    monkeypatch.undo()
    save_wan(second, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), first.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(load_wan(tmp_path).parameters(), second.parameters()))
    assert [path.name for path in tmp_path.iterdir()] == ['transformer']
