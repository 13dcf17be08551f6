"Models keep the contract of `Denoiser`, and say so in their own words where they cannot."
import inspect

import pytest
import torch

from asdvideo import evaluation
from asdvideo.causal import by_chunks
from asdvideo.denoiser import CausalLayout, ClipDenoiser, Condition, Denoiser, cat_rows, join_conditions
from asdvideo.discriminator import slope_exact
from asdvideo.errors import AsdError
from asdvideo.initialisation import WithHistory, record_paths
from asdvideo.lab.students import Corrected
from asdvideo.rollout import Noise, rollout
from asdvideo.schedule import Schedule, StepList
from asdvideo.transformer import NetworkConfig, VideoTransformer
from asdvideo.wan.model import CausalWan

LAYOUT = CausalLayout(2)
VIDEO, SIGMA = torch.zeros(2, 4, 1, 16, 16), torch.full((2, 4), .5)


@pytest.fixture
def net() -> VideoTransformer:
    return VideoTransformer(NetworkConfig(size=16, width=16, depth=2, heads=2), LAYOUT).eval()


@pytest.mark.parametrize('kind', (VideoTransformer, CausalWan, Corrected))
def test_features_have_one_signature(kind):
    own, wanted = (inspect.signature(x.forward_features, eval_str=True) for x in (kind, Denoiser))
    assert own == wanted


def test_a_world_of_clips_takes_a_batch():
    clips = torch.rand(5, 4, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model, xt = ClipDenoiser(clips, LAYOUT), clips[:2].flip(0)
    assert torch.allclose(by_chunks(model, xt, SIGMA), model(xt, SIGMA, Condition()), atol=1e-5)
    video = rollout(model, Noise((2, 4, 1, 4, 4), 0, LAYOUT), Schedule.parse('2', StepList(4)), Condition())
    assert video.shape == xt.shape
    cache = model.append(model.empty_cache(), xt[:, :2], Condition())
    assert torch.equal(cache.map(lambda x: x[1:]).evidence, cache.evidence[1:])
    with pytest.raises(AsdError, match='a cache of 2 videos'):
        model(clips[:3, 2:], torch.full((3, 2), .5), Condition(), cache)
    with pytest.raises(AsdError, match='features of a ClipDenoiser'):
        model.forward_features(xt, SIGMA, Condition(), (1,))


@pytest.mark.parametrize('more', ({'cache': 'text'}, {'clean': VIDEO}))
def test_a_given_history_is_the_only_one(more, net):
    with pytest.raises(AsdError, match='WithHistory'):
        WithHistory(net, VIDEO)(VIDEO, SIGMA, Condition(), **more)


@pytest.mark.parametrize('cache', ('text', '', [], {}, 3))
def test_what_is_no_cache_is_refused(cache, net):
    with pytest.raises(AsdError, match='cache of type'):
        net(VIDEO, SIGMA, Condition(), cache)
    with pytest.raises(AsdError, match='cache of type'):
        net.append(cache, VIDEO, Condition())


@pytest.mark.parametrize('call', (
    lambda: cat_rows([]),
    lambda: join_conditions([]),
    lambda: slope_exact(None, VIDEO),
    lambda: record_paths(None, None, None, None, 'folder', 'origin'),
    lambda: evaluation.evaluate(None, '1', 'both', None),
))
def test_nothing_is_refused_in_our_words(call):
    with pytest.raises(AsdError):
        call()
