"Identities for shapes, chunkings, windows, schedules and step counts that nobody chose by hand."
import pytest
import torch
from hypothesis import given, settings, strategies as st

from asdvideo import asd, causal, dit, dmd, exact, ffe, flow, init, rollout
from asdvideo.core import randn, stream
from asdvideo.exact import D, error, small

quick = settings(max_examples=25, deadline=None, derandomize=True)
ratio = st.floats(.02, .98)


@st.composite
def layouts(draw):
    "Any causal layout, and a number of frames that it covers."
    first = draw(st.none() | st.integers(1, 4))
    chunk = draw(st.integers(1, 4))
    frames = (first or chunk) + chunk * draw(st.integers(0, 3))
    window = draw(st.none() | st.integers(max(chunk, first or 0), 9))
    return dict(chunk=chunk, first=first, window=window, sink=draw(st.integers(0, 3)) if window else 0), frames


@st.composite
def cases(draw):
    "A causal network of any small shape, a video for it, levels and labels."
    layout, frames = draw(layouts())
    patch, heads, batch = draw(st.sampled_from((2, 4))), draw(st.sampled_from((1, 2))), draw(st.integers(1, 3))
    rows, cols, seed = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 99))
    net = small(seed, patch=patch, heads=heads, width=12 * heads, depth=draw(st.integers(1, 3)))
    x = randn((batch, frames, 1, rows * patch, cols * patch), stream(seed, 'x'), dtype=D)
    sigma = torch.rand(batch, frames, generator=stream(seed, 'sigma'), dtype=D).clamp(.02)
    return causal.causal(net, **layout), x, sigma, torch.randint(6, (batch,), generator=stream(seed, 'c'))


def schedules(chunks, levels=st.lists(st.sampled_from([.9, .75, .6, .5, .3, .1]), max_size=3, unique=True)):
    return st.lists(levels.map(lambda l: [1., *sorted(l, reverse=True)]), min_size=chunks, max_size=chunks)


@quick
@given(cases())
def test_masked_equals_cached(case):
    net, x, sigma, cond = case
    assert error(net(x, sigma, cond)[0], causal.by_chunks(net, x, sigma, cond)) < 1e-10


@quick
@given(cases())
def test_teacher_forced_equals_cached(case):
    net, x, sigma, cond = case
    clean, cache, start = x.flip(0) * .7, (), 0
    forced = net(x, sigma, cond, clean=clean)[0]
    for end in dit.chunk_ends(x.shape[1], net.chunk, net.first):
        assert error(net(x[:, start:end], sigma[:, start:end], cond, cache, start)[0], forced[:, start:end]) < 1e-10
        cache, start = rollout.context(net, clean[:, start:end], cond, cache, start), end


@quick
@given(cases(), st.data())
def test_the_past_does_not_feel_the_future(case, data):
    net, x, sigma, cond = case
    frames = x.shape[1]
    j = data.draw(st.integers(0, frames - 1))
    ends = dit.chunk_ends(frames, net.chunk, net.first)
    begin = max([0, *[e for e in ends if e <= j]])
    other = x.clone(); other[:, j] += 1
    a, b = net(x, sigma, cond)[0], net(other, sigma, cond)[0]
    assert torch.equal(a[:, :begin], b[:, :begin]) and not torch.equal(a[:, j], b[:, j])


@quick
@given(cases(), st.data())
def test_rollouts_with_and_without_gradients_agree(case, data):
    net, x, _, cond = case
    noise = rollout.Noise(x.shape, data.draw(st.integers(0, 2 ** 60)), net.chunk, net.first, dtype=D)
    assert sum(noise.sizes) == x.shape[1]
    schedule = data.draw(schedules(len(noise.sizes)))
    plain, graded = rollout.rollout(net, noise, schedule, cond), rollout.rollout(net.requires_grad_(True), noise, schedule, cond, grad=True)
    assert torch.equal(plain, graded) and graded.requires_grad and not plain.requires_grad
    assert torch.equal(plain, torch.cat(list(rollout.rollout_chunks(net, noise, schedule, cond)), 1))


@quick
@given(cases(), st.data())
def test_an_earlier_chunk_does_not_know_later_schedules(case, data):
    net, x, _, cond = case
    noise = rollout.Noise(x.shape, 3, net.chunk, net.first, dtype=D)
    schedule = data.draw(schedules(len(noise.sizes)))
    i = data.draw(st.integers(0, len(schedule) - 1))
    changed = schedule[:i] + [[1., .45, .2]] + schedule[i + 1:]
    a, b = rollout.rollout(net, noise, schedule, cond), rollout.rollout(net, noise, changed, cond)
    before = sum(noise.sizes[:i])
    assert torch.equal(a[:, :before], b[:, :before]) and not torch.equal(a[:, before:], b[:, before:])


@quick
@given(st.integers(1, 12), st.floats(.2, 12))
def test_step_lists_fall_and_truncations_are_prefixes(n, shift):
    levels = flow.step_list(n, shift)
    assert flow.check_levels(levels) == levels and levels[0] == 1 and len(levels) == n
    for k in range(1, n + 1):
        assert flow.n_steps(levels, k) == levels[:k]
        spread = flow.n_steps(levels, k, 'respaced')
        assert len(spread) == k and spread[0] == 1 and set(spread) <= set(levels) and flow.check_levels(spread)


@quick
@given(st.lists(st.floats(-.5, 1.5) | st.just(float("nan")), max_size=5))
def test_only_falling_levels_pass(levels):
    good = len(levels) > 0 and all(0 < s <= 1 for s in levels) and all(a > b for a, b in zip(levels, levels[1:]))
    if good: assert flow.check_levels(levels) == levels
    else:
        with pytest.raises(ValueError, match='fall strictly'): flow.check_levels(levels)


@quick
@given(ratio, st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_flow_round_trips(sigma, b, f, seed):
    x0, eps = (randn((b, f, 1, 2, 3), stream(seed, k), dtype=D) for k in ('x0', 'eps'))
    s = torch.full((b, f), sigma, dtype=D)
    xt, v = flow.add_noise(x0, eps, s), eps - x0
    assert error(flow.x0_from_v(xt, v, s), x0) < 1e-12 and error(flow.eps_from_v(xt, v, s), eps) < 1e-12
    assert error(flow.v_from_x0(xt, x0, s), v) < 1e-12


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_stars_cost_what_they_say(steps, chunks, data):
    levels, n = flow.step_list(steps, 3), data.draw(st.integers(1, steps))
    plain, star = (ffe.named_schedule(f'{n}{s}', levels, chunks) for s in ('', '*'))
    cost = rollout.forward_passes
    assert plain == [levels[:n]] * chunks and star == [levels] + plain[1:]
    assert cost(star)['denoise'] - cost(plain)['denoise'] == steps - n and cost(star)['context'] == chunks - 1
    assert ','.join(str(len(s)) for s in star) in ffe.allocations(cost(star)['denoise'], chunks, steps)


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.floats(1e-4, 1.), st.integers(0, 99))
def test_the_dmd_gradient_scales_with_the_disagreement(b, f, floor, seed):
    "Two constant denoisers: the direction is their difference, each video over its own normaliser."
    x, eps, a, c = (randn((b, f, 1, 2, 2), stream(seed, k), dtype=D) for k in ('x', 'eps', 'fake', 'real'))
    sigma = torch.full((b, f), .5, dtype=D)
    guess = lambda target: lambda xt, s, cond, cache=None, start=0: (flow.v_from_x0(xt, target, s), cache)
    scale = (x - c).abs().flatten(1).mean(1).clamp(min=floor).view(-1, 1, 1, 1, 1)
    assert error(dmd.dmd_grad(x, guess(c), guess(a), None, sigma, eps, floor), (a - c) / scale) < 1e-10


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_one_logit_learns(steps, b, data):
    n = data.draw(st.integers(1, steps))
    torch.manual_seed(n)
    head = asd.StepHead(8, 2, steps, (1,))
    fake, real = (head([randn((b, 2, 3, 8), stream(n, k))])[:, n - 1] for k in ('fake', 'real'))
    loss = asd.asd_discriminator_loss(fake, real)
    assert abs(loss.item() - torch.tensor(2.).log().item()) < 1e-6      # a fresh head ties
    grad, = torch.autograd.grad(loss, head.logits.weight)
    assert grad[n - 1].abs().sum() > 0 and grad.abs().sum() == grad[n - 1].abs().sum()


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.floats(0., 2.), st.integers(0, 99))
def test_pushes_have_the_asked_length(members, b, ratio_, seed):
    strength = asd.Strength(ratio_, videos=b, members=members)
    long = lambda g: g.reshape(members, b, -1).norm(dim=2)      # of every video
    for round_ in range(3):
        adversarial, other = (randn((members * b, 3, 1, 2, 2), stream(seed, k, round_)) for k in 'ao')
        push = strength(adversarial, other)
        if round_ == 0:
            assert not push.any()
            wanted = ratio_ * long(other).square().mean(1, keepdim=True).sqrt()
            continue
        assert (long(push) <= 3 * wanted + 1e-5).all()
        scale = (push / adversarial).reshape(members, b, -1)
        assert error(scale, scale.mean(2, keepdim=True).expand_as(scale)) < 1e-3 and (scale >= 0).all()      # only the length changes
