"""What would bore a reader of the law: other dimensions, other numbers of step counts, bad input."""
import json
import math

import pytest
import torch

from asdvideo.errors import AsdError
from asdvideo.lab.law import (
    FLOWS,
    Modes,
    adversarial_gradient,
    best_logit,
    disagreement,
    film_page,
    follow,
    kl,
    law_matrix,
    together,
    told_gradient,
    unified_gradient,
)
from asdvideo.randomness import stream


def random_law(seed: int, d: int = 2, k: int = 3, std: float = .4) -> Modes:
    "A random mixture in double precision."
    generator = stream(seed, 'law')
    weights = torch.rand(k, generator=generator, dtype=torch.double) + .1
    return Modes(weights / weights.sum(), 2 * torch.randn(k, d, generator=generator, dtype=torch.double), std)


def split(data: Modes, count: int, seed: int) -> list[Modes]:
    "Random parts on the modes of some data, whose mixture is exactly the data."
    share = torch.rand(count, len(data.weights), generator=stream(seed, 'split'), dtype=torch.double)
    for _ in range(500):
        share = share / share.sum(1, keepdim=True)
        share = share / share.sum(0) * data.weights * count
    return [Modes(row / row.sum(), data.means, data.std) for row in share]


def random_points(d: int = 2, count: int = 40) -> torch.Tensor:
    "Points in double precision."
    return 2 * torch.randn(count, d, generator=stream(0, 'points'), dtype=torch.double)


@pytest.mark.parametrize('d', [1, 2, 5])
@pytest.mark.parametrize('sigma', [0., .2, .95])
def test_score_is_the_slope_of_the_log_density(d, sigma):
    law, x = random_law(d, d), random_points(d).requires_grad_()
    slope, = torch.autograd.grad(law.log_density(x, sigma).sum(), x)
    assert torch.allclose(slope, law.score(x, sigma), atol=1e-10)


def test_guess_is_the_mean_of_clean_points():
    law, generator = random_law(1, 1), stream(1, 'clean')
    mode = torch.multinomial(law.weights, 400_000, replacement=True, generator=generator)
    clean = law.means[mode] + law.std * torch.randn(400_000, 1, generator=generator, dtype=torch.double)
    noised = .6 * clean + .4 * torch.randn(400_000, 1, generator=generator, dtype=torch.double)
    for low in (-1., 0., .5):
        here = ((noised > low) & (noised < low + .1))[:, 0]
        middle = noised[here].mean(0, keepdim=True)
        assert here.sum() > 1000
        assert torch.allclose(law.guess(middle, .4)[0], clean[here].mean(0), atol=.05)


def test_levels_can_differ_from_point_to_point():
    law, x = random_law(2), random_points()
    sigma = torch.linspace(.05, .9, len(x), dtype=torch.double)
    one_by_one = torch.stack([law.score(point, level.item()) for point, level in zip(x, sigma, strict=True)])
    assert torch.allclose(law.score(x, sigma), one_by_one, atol=1e-10)


def test_a_cloud_is_a_law_with_noise_and_the_mean_of_its_points():
    cloud = Modes(torch.full((30,), 1 / 30, dtype=torch.double), random_points(2, 30), 0.)
    x = random_points()
    away = (x[:, None] - .5 * cloud.means).square().sum(2)
    density = torch.logsumexp(-.5 * away / .25, 1) - math.log(30) - math.log(2 * math.pi * .25)
    assert torch.allclose(cloud.log_density(x, .5), density, atol=1e-10)


def test_together_is_the_mean_of_densities():
    parts, x = [random_law(i) for i in range(4)], random_points()
    mean = torch.stack([part.log_density(x, .3).exp() for part in parts]).mean(0)
    assert torch.allclose(together(parts).log_density(x, .3).exp(), mean, atol=1e-12)
    with pytest.raises(AsdError, match='one width'):
        together([random_law(0, std=.1), random_law(1, std=.2)])


@pytest.mark.parametrize('count', [2, 3, 4])
def test_every_divided_state_is_a_fixed_point_of_unified_matching_only(count):
    data, x = random_law(3), random_points()
    parts = split(data, count, count)
    for n in range(1, count + 1):
        assert unified_gradient(x, n, parts, data, .4).abs().max() < 1e-8
        assert told_gradient(x, n, parts, data, .4).abs().max() > .05
    assert adversarial_gradient(x, 1, parts, .4).abs().max() > .05
    assert adversarial_gradient(x, count, parts, .4).abs().max() == 0


def test_agreement_on_something_wrong_is_a_fixed_point_of_adversarial_distillation_only():
    data, wrong, x = random_law(3), random_law(4), random_points()
    for n in (1, 2, 3):
        assert adversarial_gradient(x, n, [wrong] * 3, .4).abs().max() < 1e-12
        assert unified_gradient(x, n, [wrong] * 3, data, .4).abs().max() > .05
        assert torch.allclose(unified_gradient(x, n, [wrong] * 3, data), told_gradient(x, n, [wrong] * 3, data))


def test_adversarial_gradient_is_minus_the_slope_of_the_logit():
    parts, x = [random_law(i) for i in range(3)], random_points().requires_grad_()
    for n in (1, 2):
        slope, = torch.autograd.grad(best_logit(x, n, parts, .3).sum(), x)
        assert torch.allclose(-slope, adversarial_gradient(x, n, parts, .3), atol=1e-10)


@pytest.mark.parametrize('n', [0, 4, 1.5])
def test_step_counts_are_checked(n):
    parts, x = [random_law(i) for i in range(3)], random_points()
    for gradient in (unified_gradient, told_gradient):
        with pytest.raises(AsdError, match='n='):
            gradient(x, n, parts, parts[0])
    with pytest.raises(AsdError, match='n='):
        adversarial_gradient(x, n, parts)
    with pytest.raises(AsdError, match='n='):
        best_logit(x, max(3, n), parts)


@pytest.mark.parametrize('seed', range(3))
def test_the_account_balances(seed):
    grid = torch.linspace(-12, 12, 6001, dtype=torch.double)[:, None]
    parts, data = [random_law(seed * 10 + i, 1) for i in range(3)], random_law(seed + 99, 1, std=.4)
    told = torch.stack([kl(part, data, grid) for part in parts]).mean()
    assert torch.isclose(told, kl(together(parts), data, grid) + disagreement(parts, grid), rtol=1e-6)
    assert disagreement(parts, grid) > .01
    assert disagreement([parts[0]] * 3, grid).abs() < 1e-12


@pytest.mark.parametrize('count', [1, 2, 5, 8])
@pytest.mark.parametrize('strength', [.1, 2.])
def test_rates(count, strength):
    def rates(matrix):
        return torch.linalg.eigvals(matrix).real.sort().values

    free = torch.zeros(count - 1, dtype=torch.double)
    assert torch.allclose(rates(law_matrix(count)), torch.cat([free, free.new_ones(1)]), atol=1e-6)
    tied = law_matrix(count, adversarial=strength)
    values = torch.linalg.eigvals(tied)
    assert torch.isclose(values.prod().real, torch.tensor(strength ** (count - 1), dtype=torch.double), rtol=1e-6)
    assert torch.isclose(tied.trace(), torch.tensor(1 + strength * (count - 1), dtype=torch.double))
    assert torch.allclose(law_matrix(count, unified=0, told=strength), strength * torch.eye(count, dtype=torch.double))


def clouds(count: int = 3, size: int = 8) -> torch.Tensor:
    "Small clouds apart from each other."
    points = .2 * torch.randn(count, size, 2, generator=stream(5, 'clouds'), dtype=torch.double)
    return points + torch.randn(count, 1, 2, generator=stream(6, 'clouds'), dtype=torch.double)


def test_the_unified_flow_is_blind_for_step_counts_and_the_others_are_not():
    data, begin = random_law(7, k=4, std=.2), clouds()
    deal = torch.randperm(24, generator=stream(0, 'deal'))
    other = begin.flatten(0, 1)[deal].view(3, 8, 2)
    for flow in FLOWS:
        film, dealt = (follow(points, data, flow, 5) for points in (begin, other))
        same = torch.allclose(dealt.flatten(1, 2), film.flatten(1, 2)[:, deal], atol=1e-9)
        assert same == (flow == 'unified')


def test_flows_add_up_and_the_last_step_count_is_not_pushed():
    data, begin = random_law(7, k=4, std=.2), clouds()
    step = {flow: follow(begin, data, flow, 1)[1] - begin for flow in FLOWS}
    assert torch.allclose(step['both'], step['unified'] + step['adversarial'], atol=1e-12)
    assert step['adversarial'][-1].abs().max() == 0
    assert step['adversarial'][0].abs().max() > .01
    stronger = follow(begin, data, 'adversarial', 1, strength=3.)[1] - begin
    assert torch.allclose(stronger, 3 * step['adversarial'], atol=1e-12)
    alone = follow(begin[:1], data, 'told', 1), follow(begin[:1], data, 'unified', 1)
    assert torch.allclose(*alone, atol=1e-12)


def test_bad_flows_are_refused():
    with pytest.raises(AsdError, match='flow'):
        follow(clouds(), random_law(7), 'sideways', 1)
    with pytest.raises(AsdError, match='points'):
        follow(clouds()[0], random_law(7), 'told', 1)


def test_a_page_holds_its_films_and_asks_nobody():
    film = follow(clouds(), random_law(7), 'told', 6)
    page = film_page({'told': film}, random_law(7).means, 'abc', frames=3)
    facts = json.loads(page.split('const facts = ')[1].split(';\n')[0])
    kept = torch.tensor(facts['films']['told']) / 100
    assert kept.shape == (3, 3, 8, 2)
    assert torch.allclose(kept[[0, -1]].double(), film[[0, -1]], atol=.006)
    assert '://' not in page
    assert 'src=' not in page
    assert 'id="abc"' in page
    with pytest.raises(AsdError, match='name'):
        film_page({'told': film}, random_law(7).means, '"><script>')
    with pytest.raises(AsdError, match='films'):
        film_page({}, random_law(7).means)
