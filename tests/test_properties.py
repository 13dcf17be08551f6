"Identities for shapes, chunkings, windows, sinks, schedules and step counts that nobody chose by hand."

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asdvideo.asd import WEIGHTS, AdversarialWeight
from asdvideo.cache import RingCache
from asdvideo.causal import by_chunks, causal
from asdvideo.denoiser import CausalLayout, Condition, cat_rows, split_rows
from asdvideo.discriminator import DiscriminatorHead, HeadConfig, discriminator_loss
from asdvideo.dmd import dmd_gradient
from asdvideo.errors import AsdError
from asdvideo.flow import add_noise, eps_from_velocity, velocity_from_x0, x0_from_velocity
from asdvideo.randomness import Draws, stream
from asdvideo.rollout import Noise, rollout, rollout_chunks
from asdvideo.schedule import Schedule, StepList, check_levels
from asdvideo.teacher import Guided
from asdvideo.transformer import VideoTransformer
from asdvideo.verify.base import error, relative
from asdvideo.verify.cases import small

quick = settings(max_examples=20, deadline=None, derandomize=True)
Case = tuple[VideoTransformer, Tensor, Tensor, Condition]


@st.composite
def layouts(draw: Callable[[Any], Any]) -> tuple[CausalLayout, int]:
    "Any causal layout, and a number of frames that it covers."
    first, chunk = draw(st.none() | st.integers(1, 4)), draw(st.integers(1, 4))
    frames = (first or chunk) + chunk * draw(st.integers(0, 3))
    window = draw(st.none() | st.integers(max(chunk, first or 0), 9))
    return CausalLayout(chunk, first, window, draw(st.integers(0, 3)) if window else 0), frames


@st.composite
def rings(draw: Callable[[Any], Any]) -> tuple[CausalLayout, int]:
    "Any layout that a ring takes, and a long video for it."
    chunk = draw(st.integers(1, 3))
    window, sink = chunk * draw(st.integers(1, 3)), chunk * draw(st.integers(0, 2))
    return CausalLayout(chunk, None, window, sink), chunk * draw(st.integers(1, 9))


def case_of(layout: CausalLayout, frames: int, draw: Callable[[Any], Any]) -> Case:
    "A causal network of any small shape, a video for it, levels and labels."
    patch, heads, batch = draw(st.sampled_from((2, 4))), draw(st.sampled_from((1, 2))), draw(st.integers(1, 3))
    side, seed, channels = draw(st.integers(1, 2)), draw(st.integers(0, 99)), draw(st.integers(1, 2))
    shape = {'size': side * patch, 'patch': patch, 'heads': heads, 'width': 12 * heads, 'channels': channels}
    net = small('fp32', seed, depth=draw(st.integers(1, 2)), **shape)
    xt = torch.randn(batch, frames, channels, side * patch, side * patch, generator=stream(seed, 'x'))
    sigma = torch.rand(batch, frames, generator=stream(seed, 'sigma')).clamp(.02)
    labels = torch.stack([torch.randint(-1, n, (batch, frames), generator=stream(seed, n)) for n in (5, 3)], -1)
    told = Condition(labels if draw(st.booleans()) else None)
    return causal(net, layout), xt, sigma, told.told(draw(st.integers(0, 4)), batch) if draw(st.booleans()) else told


@st.composite
def cases(draw: Callable[[Any], Any], kinds: st.SearchStrategy = layouts()) -> Case:
    "See `case_of`."
    return case_of(*draw(kinds), draw)


def schedules(chunks: int) -> st.SearchStrategy[Schedule]:
    "Any levels for each chunk."
    later = st.lists(st.sampled_from([.9, .75, .6, .5, .3, .1]), max_size=3, unique=True)
    levels = later.map(lambda some: (1., *sorted(some, reverse=True)))
    return st.lists(levels, min_size=chunks, max_size=chunks).map(lambda all_of_them: Schedule(tuple(all_of_them)))


@quick
@given(layouts())
def test_masks_and_sizes_fill_the_video(case: tuple[CausalLayout, int]) -> None:
    layout, frames = case
    sizes, mask, forcing = layout.sizes(frames), layout.mask(frames), layout.forcing_mask(frames)
    assert sum(sizes) == frames and [layout.size(i) for i in range(len(sizes))] == sizes
    assert mask.diagonal().all() and forcing.diagonal().all()
    assert not forcing[:frames, frames:].any(), 'a clean frame must see no noisy one'
    assert torch.equal(forcing[:frames, :frames], mask)
    own = forcing[frames:, frames:]
    assert torch.equal(forcing[frames:, :frames] | own, mask) and not (forcing[frames:, :frames] & own).any()


@quick
@given(cases())
def test_masked_equals_cached(case: Case) -> None:
    net, xt, sigma, told = case
    assert relative(by_chunks(net, xt, sigma, told), net(xt, sigma, told)) < 1e-4


@quick
@given(cases())
def test_teacher_forced_equals_cached(case: Case) -> None:
    net, xt, sigma, told = case
    clean, cache, start = xt.flip(0) * .7, net.empty_cache(), 0
    forced = net(xt, sigma, told, clean=clean)
    for frames in net.layout.sizes(xt.shape[1]):
        now, part = slice(start, start + frames), told.frames(start, start + frames)
        ours = net(xt[:, now], sigma[:, now], part, cache)
        assert error(ours, forced[:, now]) < 1e-4 * forced.abs().max()
        cache, start = net.append(cache, clean[:, now], part), start + frames


@quick
@given(cases(rings()))
def test_ring_equals_masked_after_any_number_of_wraps(case: Case) -> None:
    net, xt, sigma, told = case
    with torch.no_grad():
        ours = by_chunks(net, xt, sigma, told, RingCache(net.layout))
        assert relative(ours, net(xt, sigma, told)) < 1e-4


@quick
@given(cases(), st.floats(0, 4))
def test_guidance_is_two_passes_with_any_cache(case: Case, weight: float) -> None:
    net, xt, sigma, told = case
    with_label, without = net(xt, sigma, told), net(xt, sigma, told.open())
    truth = without + weight * (with_label - without)
    guided = Guided(net, weight)
    scale = 1e-4 * max(with_label.abs().max(), without.abs().max()) * (1 + weight)
    assert error(guided(xt, sigma, told), truth) < scale
    assert error(by_chunks(guided, xt, sigma, told), truth) < scale


@quick
@given(cases(), st.data())
def test_the_past_does_not_feel_the_future(case: Case, data: st.DataObject) -> None:
    net, xt, sigma, told = case
    frames = xt.shape[1]
    j = data.draw(st.integers(0, frames - 1))
    begins = [0]
    for size in net.layout.sizes(frames)[:-1]:
        begins.append(begins[-1] + size)
    begin = max(b for b in begins if b <= j)
    other = xt.clone()
    other[:, j] += 1
    a, b = net(xt, sigma, told), net(other, sigma, told)
    assert torch.equal(a[:, :begin], b[:, :begin]) and not torch.equal(a[:, j], b[:, j])


@quick
@given(cases(), st.data())
def test_rollouts_with_and_without_gradients_agree(case: Case, data: st.DataObject) -> None:
    net, xt, _, told = case
    noise = Noise(xt.shape, data.draw(st.integers(0, 2 ** 60)), net.layout)
    assert sum(noise.sizes) == xt.shape[1]
    schedule = data.draw(schedules(len(noise.sizes)))
    plain = rollout(net, noise, schedule, told)
    graded = rollout(net.requires_grad_(True), noise, schedule, told, grad=True)
    assert torch.equal(plain, graded) and graded.requires_grad and not plain.requires_grad
    assert torch.equal(plain, torch.cat(list(rollout_chunks(net, noise, schedule, told)), 1))


@quick
@given(cases(), st.data())
def test_an_earlier_chunk_does_not_know_later_schedules_or_labels(case: Case, data: st.DataObject) -> None:
    net, xt, _, told = case
    noise = Noise(xt.shape, 3, net.layout)
    schedule = data.draw(schedules(len(noise.sizes)))
    i = data.draw(st.integers(0, len(noise.sizes) - 1))
    changed = Schedule((*schedule.levels[:i], (1., .45, .2), *schedule.levels[i + 1:]))
    before = sum(noise.sizes[:i])
    asked = told
    if told.labels is not None:
        labels = told.labels.clone()
        labels[:, before:] = -1
        asked = Condition(labels, told.steps)
    a, b = rollout(net, noise, schedule, told), rollout(net, noise, changed, asked)
    assert torch.equal(a[:, :before], b[:, :before]) and not torch.equal(a[:, before:], b[:, before:])


@quick
@given(st.integers(1, 12), st.floats(.2, 12), st.sampled_from(('truncated', 'respaced')))
def test_step_lists_fall_and_end_above_0(count: int, shift: float, reading: str) -> None:
    steps = StepList(count, shift, reading)
    assert check_levels(steps.levels) == steps.levels and len(steps.levels) == count
    for n in range(1, count + 1):
        levels = steps.take(n)
        assert len(levels) == n and levels[0] == 1 and set(levels) <= set(steps.levels)
        assert check_levels(levels) == levels
    assert steps.take(count) == steps.levels


@quick
@given(st.lists(st.floats(-.5, 1.5) | st.just(float('nan')), max_size=5))
def test_only_falling_levels_pass(levels: list[float]) -> None:
    ends = len(levels) > 0 and levels[0] == 1 and all(0 < s <= 1 for s in levels)
    if ends and all(a > b for a, b in zip(levels, levels[1:])):
        assert check_levels(levels) == tuple(levels)
    else:
        with pytest.raises(AsdError, match='level'):
            check_levels(levels)


@settings(quick, max_examples=200)
@given(st.text(max_size=8) | st.text('0123456789*,- .x٣²', max_size=8))
def test_a_text_is_a_schedule_or_an_error(text: str) -> None:
    try:
        schedule = Schedule.parse(text, StepList(4, 3.))
    except AsdError:
        return
    assert schedule.name == text.strip() and set(schedule.name) <= set('1234*,0')
    again = Schedule.parse(schedule.name, StepList(4, 3.))
    assert again == schedule


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_stars_cost_what_they_say(count: int, chunks: int, data: st.DataObject) -> None:
    steps, n = StepList(count, 3.), data.draw(st.integers(1, count))
    plain, star = (Schedule.parse(f'{n}{end}', steps) for end in ('', '*'))
    assert plain.of(chunks) == steps.take(n) and star.of(0) == steps.levels and star.of(1) == steps.take(n)
    cost, more = plain.passes(chunks), star.passes(chunks)
    assert more['denoise'] - cost['denoise'] == count - n and cost['context'] == chunks - 1
    listed = Schedule.parse([n] * chunks, steps)
    assert listed.passes(chunks) == cost
    with pytest.raises(AsdError):
        Schedule.parse([n] * (chunks + 1), steps).check(chunks)


@quick
@given(st.floats(.02, 1), st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_flow_round_trips(level: float, b: int, f: int, seed: int) -> None:
    x0, eps = (torch.randn(b, f, 1, 2, 3, generator=stream(seed, k)) for k in ('x0', 'eps'))
    sigma = torch.full((b, f), level)
    xt, velocity = add_noise(x0, eps, sigma), eps - x0
    assert error(x0_from_velocity(xt, velocity, sigma), x0) < 1e-5
    assert error(eps_from_velocity(xt, velocity, sigma), eps) < 1e-5
    assert error(velocity_from_x0(xt, x0, sigma), velocity) < 1e-5 / level


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.floats(1e-4, 1.), st.integers(0, 99))
def test_the_dmd_gradient_scales_with_the_disagreement(b: int, f: int, floor: float, seed: int) -> None:
    video, fake, real = (torch.randn(b, f, 1, 2, 2, generator=stream(seed, k)) for k in ('x', 'fake', 'real'))
    ours = dmd_gradient(video, fake, real, floor)
    scale = (video - real).abs().flatten(1).mean(1).clamp(min=floor).view(-1, 1, 1, 1, 1)
    assert relative(ours, (fake - real) / scale) < 1e-5
    assert relative(dmd_gradient(video, 2 * fake - real, real, floor), 2 * ours) < 1e-5


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_one_logit_learns(steps: int, b: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, steps))
    head = DiscriminatorHead(HeadConfig(8, 2, steps, (1,)))
    fake, real = (head([torch.randn(b, 2, 3, 8, generator=stream(n, k))])[:, n - 1] for k in ('fake', 'real'))
    loss = discriminator_loss(fake, real)
    assert abs(loss.item() - torch.tensor(2.).log().item()) < 1e-6, 'a fresh head ties'
    slope, = torch.autograd.grad(loss, head.logits.weight)
    assert slope[n - 1].abs().sum() > 0 and slope.abs().sum() == slope[n - 1].abs().sum()


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.floats(0, 2), st.integers(0, 99), st.sampled_from(WEIGHTS))
def test_pushes_have_the_asked_length(members: int, b: int, ratio: float, seed: int, kind: str) -> None:
    weight = AdversarialWeight(ratio, kind, videos=b, members=members)

    def lengths(gradient: Tensor) -> Tensor:
        return gradient.reshape(members, b, -1).norm(dim=2)

    squares = torch.zeros(members)
    for step in range(4):
        adversarial, matching = (torch.randn(members * b, 3, 1, 2, 2, generator=stream(seed, k, step)) for k in 'ag')
        push = weight.push(adversarial, matching)
        weight.measure(weight.squares(adversarial, matching))
        if step == 0:
            assert not push.any()
            squares = lengths(matching).square().mean(1, keepdim=True)
            continue
        if kind == 'measured':
            assert (lengths(push) <= 3 * ratio * squares.sqrt() + 1e-5).all()
        scale = (push / adversarial).reshape(members, b, -1)
        assert error(scale, scale.mean(2, keepdim=True).expand_as(scale)) < 1e-3, 'only the length changes'
        assert (scale >= 0).all()


@quick
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_rows_of_members_come_back(members: int, parts: int, b: int, seed: int) -> None:
    batches = [torch.randn(members * b, 2, generator=stream(seed, i)) for i in range(parts)]
    joined = cat_rows(batches, members)
    assert error(list(split_rows(joined, parts, members)), batches) == 0
    mine = joined.unflatten(0, (members, -1))[0]
    assert error(mine, torch.cat([batch[:b] for batch in batches])) == 0


@quick
@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_a_share_of_the_blocks_is_a_share_of_the_draws(blocks: int, rows: int, data: st.DataObject) -> None:
    streams = [lambda i=i: stream(7, i) for i in range(blocks)]
    begin = data.draw(st.integers(0, blocks - 1))
    whole, part = (Draws([make() for make in some], rows) for some in (streams, streams[begin:]))
    for _ in range(2):
        a, b = whole.normal(3), part.normal(3)
        assert torch.equal(a[begin * rows:], b) and len(a) == whole.batch
    assert torch.equal(whole.integers(50, 2)[begin * rows:], part.integers(50, 2))
