"""No GPU here, so the `meta` device stands in for one: an operation between it and a stray CPU tensor raises,
just as it would on CUDA. Every stage does whole training steps there."""
import pytest
import torch

from asdvideo.asd import PARTNERS, AsdStage
from asdvideo.causal import causal
from asdvideo.dit import DiT
from asdvideo.dmd import DmdStage
from asdvideo.ffe import STEP_NAMES, named_schedule
from asdvideo.flow import euler, step_list
from asdvideo.gaps import ARMS, Correction, ToyPreset, together, toy_stage
from asdvideo.init import ArStage, InitStage
from asdvideo.judge import JudgeStage
from asdvideo.rollout import Noise, rollout
from asdvideo.teacher import TeacherStage, guided
from asdvideo.train import Preset

TINY = Preset(size=16, frames=4, width=16, depth=2, heads=1)


class PathsOfNoise:
    def sample(self, batch, generator):
        noise = torch.randn(batch, 5, 4, 1, 16, 16, generator=generator)
        return noise, noise[:, 0], torch.randint(40, (batch,), generator=generator)


NET = TINY.network()
QUICK = dict(critic_warmup=0, critic_updates=1)
STAGES = {
    'judge': lambda **k: JudgeStage(**k), 'teacher': lambda **k: TeacherStage(**k), 'ar': lambda **k: ArStage(NET, **k),
    'init': lambda **k: InitStage(NET, PathsOfNoise(), **k), 'init forced': lambda **k: InitStage(NET, PathsOfNoise(), forced=True, **k),
    'dmd': lambda **k: DmdStage(NET, NET, **QUICK, **k), 'dmd per step': lambda **k: DmdStage(NET, NET, per_step=True, **QUICK, **k), 'dmd only 2': lambda **k: DmdStage(NET, NET, only=2, first_full=True, guidance=1., **QUICK, **k),
    **{f'asd {p}{" switches" * on}': lambda p=p, on=on, **k: AsdStage(NET, NET, asd_after=0, calibrate=1, partner=p, shared_noise=on, shared_time=on, live=on, **QUICK, **k)
       for p in PARTNERS for on in (False, True)},
    'asd own backbone': lambda **k: AsdStage(NET, NET, asd_after=0, calibrate=1, own=True, only=113, **QUICK, **k),
}


def toy(arm, device, **_):
    preset = ToyPreset()
    nets = [preset.network() for _ in range(2)]
    start, fake = together([causal(n, 2) for n in nets]), together([Correction(preset.world(), **n.config) for n in nets])
    critic = {} if ARMS[arm][0] is DmdStage else dict(asd_after=0, calibrate=1)
    return toy_stage(preset, arm, start, fake, batch=2, steps=4, device=device, critic_warmup=0, critic_updates=1, **critic)


STAGES |= {f'toy {arm}': lambda arm=arm, **k: toy(arm, **k) for arm in ARMS}


def three_steps(name, device):
    stage = STAGES[name](preset=TINY, device=device, batch=2, steps=4)
    return stage, [stage.step(k) for k in range(3)]


@pytest.mark.parametrize('name', STAGES)
def test_training_step_stays_on_its_device(name):
    stage, logs = three_steps(name, 'meta')
    assert all(v.device.type == 'meta' for log in logs for v in log.values() if isinstance(v, torch.Tensor))
    assert all(p.device.type == 'meta' for n in stage.networks.values() for p in n.parameters())


@pytest.mark.parametrize('name', STAGES)
def test_the_same_steps_are_finite_on_the_cpu(name):
    for log in three_steps(name, 'cpu')[1]:
        for key, v in log.items(): assert torch.isfinite(torch.as_tensor(v)).all() or key in ('loss_high', 'loss_low'), key   # NaN: no video there


def test_sampling_stays_on_its_device():
    net, noise = DiT(patch=8, width=16, depth=1, heads=1, chunk=2).to('meta'), Noise((2, 4, 1, 16, 16), 0, 2, device='meta')
    cond = torch.zeros(2, dtype=torch.long, device='meta')
    for name in STEP_NAMES: assert rollout(guided(net, 2.), noise, named_schedule(name, step_list(4), 2), cond).device.type == 'meta'
    assert euler(net, torch.zeros(2, 4, 1, 16, 16, device='meta'), cond, 3).device.type == 'meta'


def test_the_stand_in_can_fail():
    with pytest.raises(RuntimeError): torch.zeros(2, device='meta') + torch.ones(2)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('fast', (False, True))
def test_cuda_step_equals_cpu_step(fast):
    a, b = (AsdStage(NET, NET, preset=TINY, device=d, batch=2, steps=4, critic_warmup=0, critic_updates=1, asd_after=0, calibrate=1, fast=f) for d, f in (('cpu', False), ('cuda', fast)))
    for i in (0, 1):      # the first only measures the strength, the second pushes
        ours, theirs = a.step(i), b.step(i)
        for k, v in ours.items(): torch.testing.assert_close(torch.as_tensor(v), torch.as_tensor(theirs[k]).cpu(), atol=.1 if fast else 1e-4, rtol=.1)
