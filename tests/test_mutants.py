"""`verify` must be able to fail. Each mutant breaks one mechanism, as a slip of the pen would, by replacing a function
everywhere in the package; the list of identities has to notice every one."""
import contextlib, inspect, sys, textwrap

import pytest

import asdvideo.exact as exact
from asdvideo import asd, causal, dit, dmd, ffe, flow, gaps, health, init, rollout, teacher, toy, wan

def source(old, new):
    "A mutant that edits the source text of a function or method."
    def make(f):
        text = textwrap.dedent(inspect.getsource(f))
        text = text[text.index('def '):] if not text.startswith(('def ', 'class ')) else text
        assert text.count(old) >= 1, f'{old!r} is not in {f.__qualname__}: the mutant is out of date'
        space = dict(sys.modules[f.__module__].__dict__)
        exec(compile(text.replace(old, new, 1), f'mutant of {f.__qualname__}', 'exec'), space)
        return space[f.__name__]
    return make


EDITS = {
    'the mask lets the next frame in': (dit, 'frame_mask', 'j < end[:, None]', 'j <= end[:, None]'),
    'the mask forgets the own chunk': (dit, 'frame_mask', 'j < end[:, None]', 'j < end[:, None] - 1'),
    'the window is a frame too long': (dit, 'frame_mask', 'end[:, None] - window)', 'end[:, None] - window - 1)'),
    'the mask has no sink': (dit, 'frame_mask', '| (j < sink)', ''),
    'teacher forcing shows the own chunk clean': (dit, 'teacher_mask', 'seen & ~own, own', 'seen, own'),
    'teacher forcing shows all noisy chunks': (dit, 'teacher_mask', 'seen & ~own, own', 'seen & ~own, seen'),
    'the first chunk has the usual size': (dit, 'chunk_ends', 'chunk if first is None else first', 'chunk'),
    'rotation turns the wrong way round in one half': (dit, 'rotate', 'a * sin + b * cos', 'b * cos - a * sin'),
    'rows and columns share their rotation': (dit, 'rotary_angles', 'places[:, a:a + 1]', 'places[:, min(a, 1):min(a, 1) + 1]'),
    'sigma is not multiplied by 1000': (dit, 'sigma_embedding', '1000 * sigma', 'sigma'),
    'sines come first': (dit, 'sigma_embedding', '[angle.cos(), angle.sin()]', '[angle.sin(), angle.cos()]'),
    'noise and data are swapped': (flow, 'add_noise', '(1 - sigma) * x0 + sigma * eps', 'sigma * x0 + (1 - sigma) * eps'),
    'x0 is on the other side': (flow, 'x0_from_v', 'xt - per_frame', 'xt + per_frame'),
    'eps forgets 1 - sigma': (flow, 'eps_from_v', '(1 - per_frame(sigma, xt))', 'per_frame(sigma, xt)'),
    'the velocity has a large floor': (flow, 'v_from_x0', 'min=floor', 'min=.1'),
    'the shift is inverted': (flow, 'shift_sigma', 'shift * sigma / (shift * sigma + (1 - sigma))', 'sigma / (sigma + shift * (1 - sigma))'),
    'Euler steps are a level late': (flow, 'euler', '(there - here) * v', '(there - here) * v * .98'),
    'n steps are n + 1': (flow, 'n_steps', 'levels[:int(n)]', 'levels[:int(n) + 1]'),
    'respacing rounds up': (flow, 'n_steps', 'i * len(levels) // int(n)', '(i * len(levels) // int(n) + (i > 0)) % len(levels)'),
    'noise ignores the step': (rollout.Noise, '__call__', "'noise', i, k", "'noise', i"),
    'noise ignores the chunk': (rollout.Noise, '__call__', "'noise', i, k", "'noise', k"),
    'gradients flow through every jump': (rollout, 'denoise_chunk', 'grad and last', 'grad'),
    'noise is added at the old level': (rollout, 'denoise_chunk', 'torch.full_like(sigma, levels[k + 1])', 'sigma'),
    'the deterministic step has no step': (rollout, 'denoise_chunk', '(levels[k + 1] - level) * v', 'levels[k + 1] * v'),
    'the context is read at sigma = 0.1': (rollout, 'context', 'x0.new_zeros(x0.shape[:2])', 'x0.new_zeros(x0.shape[:2]) + .1'),
    'the context forgets its time': (rollout, 'context', 'cond, cache, start)', 'cond, cache, 0)'),
    'the last chunk is forgotten by later ones': (rollout, 'rollout_chunks', 'cache = context(', 'context('),
    'the cache keeps its history': (dit, 'kept', '(k.detach(), v.detach())', '(k, v)'),
    'the ring is a frame too short': (causal.RingCache, 'turn', '% self.window', '% (self.window - 1)'),
    'the ring overwrites its sink': (causal.RingCache, 'turn', '(self.sink, here, frames)', '(0, here, frames)'),
    'the ring shows slots that nobody has written': (causal.RingCache, 'join', 's * min(self.end, self.size)', 's * self.size'),
    'the ring takes new memory for every video': (causal.RingCache, 'join', 'if layer not in self.memory', 'if self.start == 0'),
    'cached chunks all start at time 0': (dit.DiT, 'trunk', 'torch.arange(start, start + f', 'torch.arange(0, f'),
    'the clean half of teacher forcing is called noisy': (dit.DiT, 'trunk', 'torch.cat([torch.zeros_like(sigma), sigma], 1)', 'torch.cat([sigma, sigma], 1)'),
    'noisy frames come after the clean ones in time': (dit.DiT, 'trunk', 'places.repeat(2)', 'torch.cat([places, places + f])'),
    'the cache is cut a frame short': (dit, 'visible', 'window - frames)', 'window - frames - 1)'),
    'the sink is cut from the cache': (dit, 'visible', 'x[:, :, :sink]', 'x[:, :, :0]'),
    'keys are not normalised': (dit.Attention, 'forward', 'self.k_norm(k)', 'k'),
    'all frames share the first level': (dit.DiT, 'condition', 'self.embed_sigma(sigma_embedding(sigma, width))', 'self.embed_sigma(sigma_embedding(sigma[:, :1].expand_as(sigma), width))'),
    'labels are not looked at': (dit.DiT, 'condition', 'self.embed_label(cond)', 'self.embed_label(cond * 0)'),
    'guidance is counted from 0': (teacher, 'guided', 'torch.lerp(without, with_label, weight)', 'torch.lerp(without, with_label, weight + 1)'),
    'guidance mixes its two pasts': (teacher, 'guided', '(a, b)', '(b, a)'),
    'flow matching learns the negative velocity': (teacher, 'flow_loss', '(eps - x0)', '(x0 - eps)'),
    'regression takes every frame at the first level': (init, 'ode_loss', 'index, torch.arange(f)[None]', 'index[:, :1], torch.arange(f)[None]'),
    'DMD points away from the teacher': (dmd, 'dmd_grad', '(x0_fake - x0_real) / scale', '(x0_real - x0_fake) / scale'),
    'the bare DMD gradient has the wrong sign': (dmd, 'dmd_grad', 'return x0_fake - x0_real', 'return x0_real - x0_fake'),
    'the normaliser has no floor': (dmd, 'dmd_grad', '.clamp(min=floor)', ''),
    'the normaliser is one for the batch': (dmd, 'dmd_grad', '.flatten(1).mean(1)', '.mean().expand(len(x))'),
    'real and fake scores are exchanged': (dmd, 'clean_guesses', 'for model in (fake, real)', 'for model in (real, fake)'),
    'the pseudo-loss forgets its half': (dmd, 'pull', '.5 * ', ''),
    'the pseudo-loss pushes': (dmd, 'pull', 'x - (x - g)', 'x - (x + g)'),
    'the critic moves the student': (dmd.DmdStage, 'generator_step', "self.apply('student'", "self.apply('fake'"),
    'the student lowers the fake logit': (asd, 'asd_generator_loss', 'real.detach() - fake', 'fake - real.detach()'),
    'the student also pushes the real logit': (asd, 'asd_generator_loss', 'real.detach()', 'real'),
    'the discriminator prefers fakes': (asd, 'asd_discriminator_loss', 'fake - real', 'real - fake'),
    'logit n is logit n + 1': (asd, 'step_logit', 'n - 1', 'n % 4'),
    'all logits are trained together': (asd, 'step_logit', '[:, n - 1]', '.mean(1)'),
    'the slope is not squared': (asd, 'slope_finite', '.square()', '.abs()'),
    'the slope is not divided by its step': (asd, 'slope_finite', '/ delta', ''),
    'the strength is upside down': (asd.Strength, 'forward', 'others / adversaries.clamp(min=1e-30)', 'adversaries / others'),
    'the strength adapts for ever': (asd.Strength, 'forward', 'measuring * total', 'total'),
    'the strength pushes while it measures': (asd.Strength, 'forward', 'push * ~measuring[:, None]', 'push'),
    'the strength takes a batch for a video': (asd.Strength, 'forward', 'a.shape[1])]', '1.)]'),
    'the strength has no cap': (asd.Strength, 'forward', 'self.cap * self.ratio', '1e9 * self.ratio'),
    'the adversarial gradient replaces DMD': (asd.AsdStage, 'gradient', 'return total + push', 'return push'),
    'the discriminator moves the student': (asd.AsdStage, 'discriminator_step', "self.apply(name", "self.apply('student'"),
    'the discriminator always trains the fake score': (asd.AsdStage, 'discriminator_step', "torch.set_grad_enabled(len(self.learners) > 1)", 'torch.enable_grad()'),
    'the penalty has its full weight': (asd.AsdStage, 'discriminator_step', "c['gamma'] / 2", "c['gamma']"),
    'the penalty looks at fakes only': (asd.AsdStage, 'penalty', 'zip(sides, taps)', 'zip(sides[:1], taps)'),
    'the partner is the student itself': (asd.AsdStage, 'partner_of', 'n + 1)', 'n)'),
    'a chain has no end': (asd.AsdStage, 'partner_of', "kind == 'data' or n == len(self.levels)", "kind == 'data'"),
    'the student follows a backbone that does not judge': (asd.AsdStage, 'gradient', 'step_logit(self.backbone, self.head, yf', 'step_logit(self.fake, self.head, yf'),
    'an own backbone does not learn': (asd.AsdStage, 'discriminator_step', 'len(self.learners) > 1', "c['live']"),
    'fake and real videos are exchanged': (asd.AsdStage, 'discriminator_step', 'asd_discriminator_loss(fake, real)', 'asd_discriminator_loss(real, fake)'),
    'the fake score learns at the wrong noise': (dmd.DmdStage, 'follow', 'eps, sigma, self.fake_cond', 'eps * .9, sigma, self.fake_cond'),
    'the step counts are drawn independently': (dmd.DmdStage, 'draw', 'self.cycle[order[k % len(order)]]', 'int(torch.randint(1, 5, (), generator=rng))'),
    'each method has its own draws': (dmd.DmdStage, 'draw', 'stream(self.seed, kind, i, j)', 'stream(self.seed, self.name, kind, i, j)'),
    'the video gradient is not divided by its size': (dmd.DmdStage, 'gradient', 'g / (g.numel() * self.team.parts)', 'g'),
    'a star enhances the last chunk': (ffe, 'named_schedule', '[list(levels), *schedule[1:]]', '[*schedule[1:], list(levels)]'),
    'a star does nothing': (ffe, 'named_schedule', "if name.endswith('*')", 'if False'),
    'all frames of Wan share one time': (wan.CausalWan, 'times', '1000 * sigma.flatten()', '1000 * sigma[:, :1].expand_as(sigma).flatten()'),
    "Wan's text keys are not normalised": (wan, 'text_keys', 'attn.norm_k(attn.to_k(text))', 'attn.to_k(text)'),
    "Wan's keys are not rotated": (wan, 'self_attention', 'rotate(k, angles)', 'k'),
    'Wan adds a gate twice': (wan, 'wan_block', 'block.ffn(y).float() * gate2', 'block.ffn(y).float() * gate2 * gate2'),
    'the exact posterior mistakes sigma for its square': (toy.Mixture, 'posterior', 'torch.diag_embed(sigma ** 2)', 'torch.diag_embed(sigma)'),
    'the exact score ignores the label': (toy.Mixture, 'prior', 'if cond is None:', 'if True:'),
    'the exact causal velocity is that of the past': (toy.Mixture, '__call__', 'v[:, start:]', 'v[:, :xt.shape[1] - start]'),
    'every member is the first': (toy.Ensemble, 'member', 'v[i]', 'v[0]'),
    'a correction ignores the label': (gaps.Correction, 'corrected', 'None if cond is None else cond % self.world.labels', 'None'),
    'a correction counts x twice': (gaps.Correction, 'corrected', 'v - v_from_x0(xt, torch.zeros_like(xt), sigma, self.floor)', 'v'),
    'the discrepancy counts a video with itself': (gaps, 'mmd', '(kernel(x, x) - n)', 'kernel(x, x)'),
    'a conditional entropy is a joint one': (gaps, 'cross_entropies', 'b - a for', 'b for'),
    'total variation is counted twice': (gaps, 'mode_tv', '.5 *', '1. *'),
    'trust compares with the fake score': (health, 'trust', '(x - target)', '(x - guess)'),
    'agreement turns the lengths round': (health, 'agreement', 'd.norm() / true.norm()', 'true.norm() / d.norm()'),
    "the critic's ceiling adds what it should subtract": (health, 'gap_ceiling', 'log_ratio(xr) - log_ratio(xf)', 'log_ratio(xr) + log_ratio(xf)'),
    'conversion ignores the chunk size': (causal, 'causal', 'twin.chunk, twin.first, twin.window, twin.sink = chunk,', 'twin.chunk, twin.first, twin.window, twin.sink = 1,'),
}


@contextlib.contextmanager
def broken(owner, name, old, new):
    "Replace a function wherever the package holds it."
    f = getattr(owner, name)
    g = source(old, new)(f)
    homes = [owner] if inspect.isclass(owner) else [m for k, m in list(sys.modules.items()) if k.startswith('asdvideo') and getattr(m, name, None) is f]
    for home in homes: setattr(home, name, g)
    try: yield
    finally:
        for home in homes: setattr(home, name, f)


def caught_by(module=''):
    "The first identity that fails now, those of a module's own notebook first; None if all hold."
    order = sorted(exact.IDENTITIES, key=lambda name: not exact.IDENTITIES[name]['where'].endswith(f'_{module}'))
    return next((name for name in order if not exact.check(name)['holds']), None)


def test_all_identities_hold():
    rows = exact.verify()
    assert len(rows) >= 40 and all(r['holds'] for r in rows), exact.report(rows)
    assert sum(r['seconds'] for r in rows) < 60


@pytest.mark.parametrize('name', EDITS)
def test_mutant_is_caught(name):
    module = (EDITS[name][0].__module__ if inspect.isclass(EDITS[name][0]) else EDITS[name][0].__name__).removeprefix('asdvideo.')
    with broken(*EDITS[name]): assert caught_by(module), f'no identity notices when {name}'


def test_mutants_leave_no_trace():
    assert not caught_by()


def test_a_failing_identity_fails_the_command(monkeypatch, capsys):
    from asdvideo.cli import main
    monkeypatch.setattr(exact, 'IDENTITIES', {'x': {'says': 'never', 'where': 'here', 'bound': 0., 'run': lambda: 1.}})
    assert main(['verify']) == 1
    assert 'FAIL' in capsys.readouterr().out
