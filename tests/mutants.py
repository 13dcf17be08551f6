"""Mutants: each breaks one mechanism by editing the source of one function, as a slip of the pen would."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """One slip.

    where: module and function or method, for example "flow:add_noise" or "cache:RingCache.slot".
    old: a piece of its source.
    new: what stands there instead.
    """

    where: str
    old: str
    new: str


def place_of(where: str) -> tuple[ModuleType, Any, str]:
    "The module, the owner (module or class) and the name of a function."
    module_name, _, path = where.partition(':')
    module = sys.modules[f'asdvideo.{module_name}']
    *classes, name = path.split('.')
    owner = module
    for part in classes:
        owner = getattr(owner, part)
    return module, owner, name


def parts(source: str) -> tuple[str, str, str]:
    "The source of a function before its docstring, the docstring, and what comes after it."
    lines, first = source.splitlines(keepends=True), ast.parse(source).body[0].body[0]
    begin, end = first.lineno - 1, first.end_lineno
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        begin = end = first.lineno - 1
    return ''.join(lines[:begin]), ''.join(lines[begin:end]), ''.join(lines[end:])


def edited(mutant: Mutant) -> Any:
    "The function made from the edited source, in a copy of its module's namespace."
    module, owner, name = place_of(mutant.where)
    found = inspect.getattr_static(owner, name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    before, docstring, after = parts(textwrap.dedent(inspect.getsource(inspect.unwrap(found))))
    assert mutant.old in before or mutant.old in after, f'{mutant.old!r} is not in {mutant.where}: out of date'
    if mutant.old in before:
        before = before.replace(mutant.old, mutant.new, 1)
    else:
        after = after.replace(mutant.old, mutant.new, 1)
    text = textwrap.indent(before + docstring + after, '    ')
    space = dict(module.__dict__)
    # a method may use super(), which needs its class in a variable called __class__
    exec(compile(f'def make(__class__):\n{text}\n    return {name}', f'mutant of {mutant.where}', 'exec'), space)
    return space['make'](owner)


def modules() -> list[ModuleType]:
    "All modules of the package that are loaded."
    return [module for name, module in list(sys.modules.items()) if name.startswith('asdvideo')]


def forget() -> None:
    "Empty every cache of results in the package."
    for module in modules():
        for value in list(vars(module).values()):
            if hasattr(value, 'cache_clear'):
                value.cache_clear()


@contextlib.contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    "Put a mutant wherever the package holds the function; afterwards everything is as it was."
    _, owner, name = place_of(mutant.where)
    found, made = inspect.getattr_static(owner, name), edited(mutant)
    homes = [owner]
    if isinstance(owner, ModuleType):
        homes = [module for module in modules() if vars(module).get(name) is found]
    forget()
    for home in homes:
        setattr(home, name, made)
    try:
        yield
    finally:
        for home in homes:
            setattr(home, name, found)
        forget()


def _denoiser() -> dict[str, Mutant]:
    mask, forcing = 'denoiser:_mask', 'denoiser:CausalLayout.forcing_mask'
    return {
        'the mask lets the next frame in': Mutant(mask, 'frame < end', 'frame <= end'),
        'the mask forgets the end of the own chunk': Mutant(mask, 'frame < end', 'frame < end - 1'),
        'the window is a frame too long': Mutant(mask, 'end - layout.window)', 'end - layout.window - 1)'),
        'the mask has no sink': Mutant(mask, ' | (frame < layout.sink)', ''),
        'teacher forcing shows the own chunk clean': Mutant(forcing, 'seen & ~own, own', 'seen, own'),
        'teacher forcing shows all noisy chunks': Mutant(forcing, 'seen & ~own, own', 'seen & ~own, seen'),
        'the first chunk has the usual size': Mutant('denoiser:CausalLayout.size', 'self.first if', 'self.chunk if'),
        'odd lengths are accepted': Mutant('denoiser:CausalLayout.sizes', ' and odd == 0', ''),
        'windows shorter than a chunk are accepted':
            Mutant('denoiser:CausalLayout.__post_init__', 'self.window >= longest', 'self.window >= 1'),
        'frames of a condition are the first ones':
            Mutant('denoiser:Condition.frames', 'labels[:, start:stop]', 'labels[:, :stop - start]'),
        'an open condition asks for label 0': Mutant('denoiser:Condition.open', ', -1)', ', 0)'),
        'an open condition forgets the step count':
            Mutant('denoiser:Condition.open', 'replace(self, labels=labels,', 'Condition(labels=labels,'),
        'an open condition keeps its prompt':
            Mutant('denoiser:Condition.open', 'torch.zeros_like(self.text)', 'self.text'),
        'a told condition is off by one': Mutant('denoiser:Condition.told', '), steps,', '), steps - 1,'),
        'rows of a condition are all rows': Mutant('denoiser:Condition.rows', 'tensor[index]', 'tensor'),
        'rows are joined across members': Mutant('denoiser:cat_rows', '(members, -1)', '(1, -1)'),
        'rows are split across members':
            Mutant('denoiser:split_rows', '(members, parts, -1)).unbind(1)', '(parts, members, -1)).unbind(0)'),
        'joined conditions ignore members': Mutant('denoiser:join_conditions', ', members) for', ') for'),
    }


def _flow() -> dict[str, Mutant]:
    return {
        'noise and data are swapped':
            Mutant('flow:add_noise', '(1 - sigma) * x0 + sigma * eps', 'sigma * x0 + (1 - sigma) * eps'),
        'x0 is on the other side': Mutant('flow:x0_from_velocity', 'xt - per_frame', 'xt + per_frame'),
        'eps forgets 1 - sigma':
            Mutant('flow:eps_from_velocity', '(1 - per_frame(sigma, xt))', 'per_frame(sigma, xt)'),
        'the velocity has a large floor': Mutant('flow:velocity_from_x0', 'min=floor', 'min=.1'),
        'the velocity has no floor': Mutant('flow:velocity_from_x0', '.clamp(min=floor)', ''),
        'the shift is inverted': Mutant('flow:shift_sigma', 'moved + (1 - sigma)', 'sigma + shift * (1 - sigma)'),
        'Euler steps are too short': Mutant('flow:euler', '(there - here) *', '.98 * (there - here) *'),
        'Euler is a level late': Mutant('flow:euler', '[:2], here', '[:2], there'),
        'the grid does not end at 0': Mutant('flow:sigma_grid', '1 - i / steps', '1 - i / (steps + 1)'),
        'drawn levels reach 0': Mutant('flow:draw_sigma', '.clamp(.02, .98)', ''),
        'drawn levels are not shifted':
            Mutant('flow:draw_sigma', 'shift_sigma(draws.uniform(groups), shift)', 'draws.uniform(groups)'),
        'every frame draws its own level': Mutant(
            'flow:draw_sigma',
            'groups = 1 if chunk is None else',
            'chunk, groups = chunk or 1, frames if chunk is None else',
        ),
        'chunks share one level': Mutant('flow:draw_sigma', 'chunk or frames', 'frames'),
    }


def _schedule() -> dict[str, Mutant]:
    take, parse = 'schedule:StepList.take', 'schedule:Schedule.parse'
    return {
        'n steps are n + 1': Mutant(take, 'self.levels[:n]', 'self.levels[:n + 1]'),
        'respacing rounds up': Mutant(take, 'i * self.count // n', '-(-i * self.count // n) % self.count'),
        'levels begin a step late':
            Mutant('schedule:StepList.levels', '1 - i / self.count', '1 - i / (self.count + 1)'),
        'the list is not shifted': Mutant('schedule:StepList.levels', ', self.shift)', ', 1.)'),
        'a star enhances the last chunk': Mutant(parse, '(steps.levels, *levels)', '(*levels, steps.levels)'),
        'a star does nothing': Mutant(parse, "if name.endswith('*'):", 'if False:'),
        'a star with many numbers passes': Mutant(parse, 'digits and starred', 'digits'),
        'Arabic digits pass': Mutant(parse, 'n.isascii() and ', ''),
        'a schedule for another length passes':
            Mutant('schedule:Schedule.check', 'self.endless or len(self.levels) == chunks', 'True'),
        'later chunks take the first levels':
            Mutant('schedule:Schedule.of', 'min(chunk, len(self.levels) - 1)', '0'),
        'passes forget that the last chunk is not read':
            Mutant('schedule:Schedule.passes', ': chunks - 1,', ': chunks,'),
    }


def _rollout() -> dict[str, Mutant]:
    call, chunk, chunks = 'rollout:Noise.__call__', 'rollout:denoise_chunk', 'rollout:rollout_chunks'
    frames = 'condition.frames(start, start + frames)'
    return {
        'noise ignores the step': Mutant(call, "'noise', chunk, step", "'noise', chunk"),
        'noise ignores the chunk': Mutant(call, "'noise', chunk, step", "'noise', step"),
        'blocks share their noise': Mutant(call, 'stream(seed,', 'stream(self.seeds[0],'),
        'all chunks start from the first noise': Mutant('rollout:Noise.whole', 'self(i, 0)', 'self(0, 0)'),
        'gradients flow through every jump': Mutant(chunk, "(last or jumps == 'all')", 'True'),
        'no gradient flows': Mutant(chunk, "grad and (last or jumps == 'all')", 'False'),
        'noise is added at the old level': Mutant(chunk, 'torch.full_like(sigma, levels[step + 1])', 'sigma'),
        'the first noise is used again': Mutant(chunk, 'noise(step + 1)', 'noise(0)'),
        'the deterministic step has no step': Mutant(chunk, '(levels[step + 1] - level)', 'levels[step + 1]'),
        'the context is read at sigma = 0.1':
            Mutant(chunks, 'x0.detach(), told)', 'x0.detach(), told, torch.full(x0.shape[:2], .1))'),
        'the last chunk is forgotten by later ones': Mutant(chunks, 'cache = model.append(', 'model.append('),
        'the last chunk is appended for nobody': Mutant(chunks, 'if i + 1 < len(noise.sizes)', 'if True'),
        'all chunks have the labels of the first': Mutant(chunks, frames, 'condition.frames(0, frames)'),
        'a cache that is given is not used':
            Mutant(chunks, 'if cache is None else cache, 0', 'if True else cache, 0'),
        'all chunks have the schedule of the first': Mutant(chunks, 'schedule.of(i)', 'schedule.of(0)'),
    }


def _cache() -> dict[str, Mutant]:
    past, append, slot = 'cache:ValueCache.past', 'cache:ValueCache.append', 'cache:RingCache.slot'
    return {
        'the cache keeps its history': Mutant(append, '(k.detach(), v.detach())', '(k, v)'),
        'the cache is cut a frame short': Mutant(past, '- layout.window\n', '- layout.window + 1\n'),
        'the cache shows a frame too many': Mutant(past, '- layout.window\n', '- layout.window - 1\n'),
        'the sink is cut from the cache': Mutant(past, 'parts += segment.part(layer, 0, layout.sink)', 'pass'),
        'the cache lets its sink go': Mutant(append, 's.start < layout.sink or ', ''),
        'the cache keeps what nobody will see': Mutant(append, 'layout.window is not None', 'False'),
        'parts are copies': Mutant('cache:Segment.part', 'k[:, :, rows]', 'k[:, :, rows].clone()'),
        'parts begin in the wrong place': Mutant('cache:Segment.part', 'slice((start - self.start) *', 'slice(0 *'),
        'the ring is a frame too short': Mutant(slot, '% (self.size - sink)', '% max(1, self.size - sink - 1)'),
        'the ring overwrites its sink': Mutant(slot, 'sink + (self.frames - sink)', '(self.frames - sink)'),
        'a ring without room writes': Mutant(slot, 'if self.size == sink:', 'if False:'),
        'the ring shows slots that nobody has written':
            Mutant('cache:RingCache.filled', 'min(self.frames, self.size)', 'self.size'),
        'the ring takes new memory for every chunk':
            Mutant('cache:RingCache.append', 'if not self.memory', 'if True'),
        'time in a ring stands still': Mutant('cache:RingCache.append', 'self.frames += frames', 'self.frames += 1'),
        'the ring takes keys with gradients':
            Mutant('cache:RingCache.append', 'not any(k.requires_grad for k, _ in layers)', 'True'),
        'the ring takes longer videos': Mutant('cache:RingCache.append', 'self.limit is None or', 'True or'),
        'the ring takes videos of other sizes': Mutant('cache:RingCache._write', 'fits = ', 'fits = True or '),
        'the ring takes odd windows':
            Mutant('cache:RingCache.__init__', 'regular and layout.window % layout.chunk == 0', 'regular'),
    }


def _transformer() -> dict[str, Mutant]:
    table, project = 'transformer:rotary_table', 'transformer:Attention.project'
    net, block = 'transformer:VideoTransformer', 'transformer:Block'
    return {
        'rotation turns the wrong way round in one half':
            Mutant('transformer:rotate', 'torch.complex(cos, sin)', 'torch.complex(cos, sin.abs())'),
        'rotation is rounded to bf16': Mutant('transformer:rotate', 'x.float()', 'x.bfloat16()'),
        'rows and columns share their rotation':
            Mutant(table, 'places[:, i:i + 1]', 'places[:, min(i, 1):min(i, 1) + 1]'),
        'angles are computed in fp32': Mutant(table, '* speeds[i] for', '.float() * speeds[i].float() for'),
        'cosines are rounded to bf16': Mutant(table, 'angles.cos()', 'angles.cos().bfloat16()'),
        'the table begins at 0': Mutant(table, 'torch.arange(start, start + frames)', 'torch.arange(frames)'),
        'sigma is not multiplied by 1000': Mutant('transformer:sigma_embedding', '1000 * sigma', 'sigma'),
        'sines come first':
            Mutant('transformer:sigma_embedding', '[angle.cos(), angle.sin()]', '[angle.sin(), angle.cos()]'),
        'levels are embedded in bf16': Mutant('transformer:sigma_embedding', 'sigma.float()', 'sigma.bfloat16()'),
        'keys are not normalised': Mutant(project, 'self.k_norm(k.to(exact))', 'k.to(exact)'),
        'queries are not turned':
            Mutant(project, 'rotate(self.q_norm(q.to(exact)), rotary)', 'self.q_norm(q.to(exact))'),
        'attention ignores its mask': Mutant('transformer:Attention.forward', 'attn_mask=mask', 'attn_mask=None'),
        'values of the past are in another order': Mutant(
            'transformer:Attention.forward',
            '[*(segment[1].to(v.dtype) for segment in past), v]',
            '[v, *(segment[1].to(v.dtype) for segment in past)]',
        ),
        'a block adds its gate twice': Mutant(f'{block}.forward', 'x, gate2, self', 'x, gate2 * gate2, self'),
        'a block shifts before attention by its scale':
            Mutant(
                f'{block}.attention_input',
                'parts[0], F.layer_norm(x, x.shape[-1:]), 1 + parts[1]',
                'parts[1], F.layer_norm(x, x.shape[-1:]), 1 + parts[0]',
            ),
        'the MLP is not normalised': Mutant(f'{block}.forward', 'shift, F.layer_norm(x, x.shape[-1:])', 'shift, x'),
        'a cache keeps keys that were not modulated':
            Mutant(f'{block}.keys_values', 'project(y, rotary)', 'project(x.flatten(1, 2), rotary)'),
        'all frames share the first level': Mutant(
            f'{net}.condition_frames',
            'sigma_embedding(sigma,',
            'sigma_embedding(sigma[:, :1].expand_as(sigma),',
        ),
        'labels are not looked at': Mutant(f'{net}.condition_frames', 'table(index)', 'table(index * 0)'),
        'an open label is label 0':
            Mutant(f'{net}.condition_frames', 'torch.where(label < 0, count, label)', 'label.clamp(min=0)'),
        'all kinds of labels are the first':
            Mutant(f'{net}.condition_frames', 'labels[..., kind]', 'labels[..., 0].clamp(max=count - 1)'),
        'the step count is not looked at': Mutant(f'{net}.condition_frames', 'else told', 'else told * 0'),
        'patches are read column by column': Mutant(f'{net}.tokens', '3, 5, 2, 4, 6', '5, 3, 2, 4, 6'),
        'patches are written transposed': Mutant(f'{net}.velocity', '4, 2, 5, 3, 6', '4, 2, 6, 3, 5'),
        'the last layer shifts by its scale': Mutant(f'{net}.velocity', 'shift, scale =', 'scale, shift ='),
        'the floor of the velocity is fixed': Mutant(f'{net}.velocity', 'self.config.floor', '.3'),
        'cached chunks all start at time 0': Mutant(f'{net}.trunk', 'cache.frames if cache else 0', '0'),
        'a causal network has no mask':
            Mutant(f'{net}.trunk', 'mask = self.layout.mask(frames, xt.device)', 'mask = None'),
        'the clean half of teacher forcing is called noisy':
            Mutant(f'{net}.trunk', 'torch.zeros_like(sigma)', 'sigma'),
        'noisy frames come after the clean ones in time': Mutant(
            f'{net}.trunk',
            'tuple(table.repeat(2, 1) for table in rotary)',
            'self.rotary(0, 2 * frames, xt.device)',
        ),
        'features are those of the block before': Mutant(f'{net}.trunk', 'if i + 1 in layers', 'if i in layers'),
        'the past is that of the first layer': Mutant(f'{net}.trunk', 'cache.past(i)', 'cache.past(0)'),
        'the context forgets its time': Mutant(f'{net}.append', 'condition, cache.frames)', 'condition, 0)'),
        'the context does not see the past': Mutant(f'{net}.append', 'cache.past(i)', '()'),
        'the context ignores its level': Mutant(f'{net}.append', 'if sigma is None else sigma', 'if True else sigma'),
        "the context keeps the last block's keys twice":
            Mutant(f'{net}.append', 'self.blocks[-1].keys', 'self.blocks[0].keys'),
    }


def _causal_and_teacher() -> dict[str, Mutant]:
    guided, stage = 'teacher:Guided', 'teacher:TeacherStage.gradients'
    return {
        'a corrected world forgets its past':
            Mutant('lab.students:Corrected.forward', 'condition, past, clean', 'condition, None, clean'),
        'a correction forgets its past':
            Mutant('lab.students:Corrected.forward', 'condition, own, clean', 'condition, None, clean'),
        'conversion ignores the layout': Mutant('causal:causal', 'twin.layout = layout', 'pass'),
        'conversion shares the weights': Mutant('causal:causal', 'copy.deepcopy(net)', 'copy.copy(net)'),
        'a trainable copy is the original': Mutant('causal:trainable', 'copy.deepcopy(net).train()', 'net.train()'),
        'a frozen network takes gradients': Mutant('causal:frozen', '.requires_grad_(False)', ''),
        'chunks are remembered clean':
            Mutant('causal:by_chunks', 'told, sigma[:, chunk])\n        start', 'told)\n        start'),
        'chunks have the labels of the first':
            Mutant('causal:by_chunks', 'condition.frames(start, start + frames)', 'condition.frames(0, frames)'),
        'guidance is counted from 0': Mutant(f'{guided}.forward', 'self.weight)', 'self.weight + 1)'),
        'guidance mixes its two sides':
            Mutant(f'{guided}.told_and_open', '[condition, condition.open()]', '[condition.open(), condition]'),
        'guidance mixes its two pasts': Mutant(
            f'{guided}.append',
            'self.told_and_open(condition, len(x0))',
            'join_conditions([condition.open(), condition], len(x0))',
        ),
        'guidance forgets the clean past':
            Mutant(f'{guided}.forward', 'else self.twice(clean)', 'else self.twice(xt)'),
        'guidance reads the past clean':
            Mutant(f'{guided}.append', 'None if sigma is None else self.twice(sigma)', 'None'),
        'flow matching learns the negative velocity': Mutant('teacher:flow_loss', '(eps - x0)', '(x0 - eps)'),
        'flow matching ignores the clean past': Mutant('teacher:flow_loss', 'clean=clean', 'clean=None'),
        'forced chunks share one level': Mutant(stage, 'chunk if forcing else None', 'None'),
        'a forced teacher does not see the past': Mutant(stage, 'clean=x0 if forcing else None', 'clean=None'),
        'a teacher always knows its labels': Mutant(stage, 'self.world.hide(condition, draws)', 'condition'),
    }


def _dmd() -> dict[str, Mutant]:
    gradient, stage = 'dmd:dmd_gradient', 'dmd:DmdStage'
    return {
        'DMD points away from the teacher': Mutant(gradient, 'x0_fake - x0_real', 'x0_real - x0_fake'),
        'the normaliser has no floor': Mutant(gradient, '.clamp(min=floor)', ''),
        'the normaliser is one for the batch': Mutant(gradient, '.flatten(1).mean(1)', '.mean().expand(len(video))'),
        'the normaliser is the distance to the fake guess':
            Mutant(gradient, '(video - x0_real)', '(video - x0_fake)'),
        'the clean guess is made without noise': Mutant('dmd:clean_guess', 'add_noise(video, eps, sigma)', 'video'),
        'the clean guess carries its history': Mutant('dmd:clean_guess', '@torch.no_grad()\n', ''),
        'real and fake scores are exchanged':
            Mutant(f'{stage}.matching_gradient', 'video, x0_fake, x0_real', 'video, x0_real, x0_fake'),
        'the fake score is not told n when it is asked':
            Mutant(f'{stage}.matching_gradient', 'if self.settings.told else', 'if False else'),
        'the fake score is told n although nobody wants it':
            Mutant(f'{stage}.matching_gradient', 'if self.settings.told else', 'if True else'),
        'the floor is not the one of the settings': Mutant(f'{stage}.matching_gradient', 'self.settings.floor', '1.'),
        'the video gradient is not divided by its size':
            Mutant(f'{stage}.train_step', 'gradient.numel() *', '1 *'),
        'the video gradient is not divided by the turns':
            Mutant(f'{stage}.train_step', ' * self.settings.turns)', ')'),
        'the rollout of the student has no gradient through its last chunk': Mutant(
            f'{stage}.train_step',
            'video.backward(gradient /',
            'video[:, :-2].backward(gradient[:, :-2] /',
        ),
        'the fake score learns at the wrong noise':
            Mutant(f'{stage}.fake_loss', 'video, eps, sigma', 'video, eps * .9, sigma'),
        'the fake score is not told n when it learns':
            Mutant(f'{stage}.fake_loss', 'if self.settings.told else', 'if False else'),
        'the fake score is told the wrong n': Mutant('dmd:Rollouts.told', 'told(counts[n]', 'told(counts[n] % 4 + 1'),
        'the fake score learns the videos in another order':
            Mutant(f'{stage}.fake_loss', 'list(batch.videos.values())', 'list(batch.videos.values())[::-1]'),
        'the step counts are drawn independently': Mutant(f'{stage}.turn_of', 'order[place]', 'order[0]'),
        'every cycle has the same order': Mutant(f'{stage}.turn_of', "'order', cycle", "'order'"),
        'the student moves the fake score':
            Mutant(f'{stage}.train_step', 'self.take_step(self.student,', 'self.take_step(self.fake_score,'),
        'the student does not wait': Mutant(f'{stage}.train_step', 'step < self.settings.wait', 'False'),
        'the first chunk is never in full': Mutant(f'{stage}.schedule', 'if self.settings.first_full', 'if False'),
        'guidance is not used': Mutant(f'{stage}.__init__', 'settings.guidance)', '1.)'),
        'step counts share their noise': Mutant(f'{stage}.rollouts', 'step, number, name))', 'step, number))'),
        'all blocks of a rollout share their noise':
            Mutant(f'{stage}.noise', 'draws.seeds(), self', 'draws.seeds()[0], self'),
    }


def _discriminator() -> dict[str, Mutant]:
    return {
        'the student lowers the fake logit':
            Mutant('discriminator:student_loss', '.detach() - fake', '.detach() * -1 + fake'),
        'the student also pushes the real logit': Mutant('discriminator:student_loss', '.detach()', ''),
        'the discriminator prefers fakes':
            Mutant('discriminator:discriminator_loss', 'fake - check_like', '-fake + check_like'),
        'logit n is logit n + 1': Mutant('discriminator:step_logit', 'n - 1', 'n % 4'),
        'all logits are trained together': Mutant('discriminator:step_logit', '[:, n - 1]', '.mean(1)'),
        'the slope is not squared': Mutant('discriminator:slope_finite', '.square()', '.abs()'),
        'the slope is not divided by its step': Mutant('discriminator:slope_finite', ' / delta', ''),
        'the exact slope is not squared': Mutant('discriminator:slope_exact', '.square()', '.abs()'),
        'the pool mixes keys and values': Mutant('discriminator:AttentionPool.forward', 'k, v =', 'v, k ='),
        'the pool forgets its query':
            Mutant('discriminator:AttentionPool.forward', 'x = x + self.out', 'x = self.out'),
        'the pool is not normalised':
            Mutant('discriminator:AttentionPool.forward', 'self.norm(tokens.flatten(1, 2))', 'tokens.flatten(1, 2)'),
        'a fresh head has opinions':
            Mutant('discriminator:DiscriminatorHead.__init__', 'nn.init.zeros_(self.logits.weight)', 'pass'),
    }


def _asd() -> dict[str, Mutant]:
    push, measure, stage = 'asd:AdversarialWeight.push', 'asd:AdversarialWeight.measure', 'asd:AsdStage'
    return {
        'the adversarial gradient is a mean': Mutant('asd:asd_gradient', 'loss * len(video)', 'loss'),
        'the adversarial gradient is taken without noise':
            Mutant('asd:asd_gradient', 'add_noise(video, eps, sigma)', 'video'),
        'the weight is upside down': Mutant(push, '(other / square)', '(square / other)'),
        'the weight pushes while it measures': Mutant(push, 'torch.where(ready, push, 0)', 'push'),
        'the weight has no cap': Mutant(push, '.clamp(max=1)', ''),
        'the cap is that of the batch': Mutant(
            push,
            'limit = self.cap * self.ratio * (other / videos)',
            'limit = self.cap * self.ratio * (other)',
        ),
        'the following weight has no floor': Mutant(push, 'self.lowest ** 2', '0'),
        'the weight takes a batch for a video': Mutant('asd:AdversarialWeight.squares', 'rows.shape[1])', '1)'),
        'the weight compares a gradient with itself':
            Mutant('asd:AdversarialWeight.squares', 'matching.reshape', 'adversarial.reshape'),
        'the measured weight adapts for ever': Mutant(measure, 'measuring * squares', 'squares'),
        'the following weight forgets nothing': Mutant(measure, 'self.decay)', '1.)'),
        'the following weight forgets while it measures':
            Mutant(measure, 'torch.where(measuring, 1., self.decay)', 'self.decay'),
        'the longest average is the last one': Mutant(measure, 'torch.maximum(self.longest, average)', 'average'),
        'the adversarial gradient replaces DMD':
            Mutant(f'{stage}.train_step', 'gradient = gradient + self', 'gradient = self'),
        'the push is left out': Mutant(f'{stage}.train_step', 'gradient + self.push(', 'gradient + 0 * self.push('),
        'the push and DMD share their levels': Mutant(
            f'{stage}.train_step',
            'if n in self.pairs:\n            sigma, eps = self.levels_and_noise(draws)\n',
            'if n in self.pairs:\n',
        ),
        'the student is compared with itself': Mutant(f'{stage}.push', '[self.pairs[n]][:, n - 1]', '[n][:, n - 1]'),
        'the student is judged by another logit': Mutant(f'{stage}.push', '[:, n - 1]', '[:, n % 4]'),
        'the push is not weighed': Mutant(f'{stage}.push', 'self.weight.push(adversarial, matching)', 'adversarial'),
        'the discriminator moves the student':
            Mutant(f'{stage}.train_step', 'self.take_step(self.head,', 'self.take_step(self.student,'),
        'the weight is never measured': Mutant(f'{stage}.measure_lengths', 'if self.lengths:', 'if False:'),
        'the discriminator trains the fake score': Mutant(f'{stage}.features', '@torch.no_grad()\n', ''),
        'the fake score learns other sides':
            Mutant(f'{stage}.fake_loss', 'for n in self.settings.counts', 'for n in batch.videos'),
        'the discriminator is told n':
            Mutant(f'{stage}.head_loss', 'batch.conditions.values()', 'batch.told().values()'),
        'the discriminator reads clean videos':
            Mutant(f'{stage}.head_loss', 'eps, batch.sigma)', 'eps * 0, batch.sigma * 0)'),
        'the penalty has its full weight': Mutant(f'{stage}.head_loss', 'gamma / 2 *', 'gamma *'),
        'fake and real videos are exchanged': Mutant(
            f'{stage}.head_loss',
            'discriminator_loss(fake, real)',
            'discriminator_loss(real, fake)',
        ),
        'the losses of the discriminator are a sum':
            Mutant(f'{stage}.head_loss', 'torch.stack(losses).mean()', 'torch.stack(losses).sum()'),
        'the penalty looks at fakes only': Mutant(f'{stage}.slopes', 'for side in (n, pair)', 'for side in (n, n)'),
        'the penalty is half of R1 + R2': Mutant(f'{stage}.slopes', 'return 2 *', 'return'),
        'the penalty reads features in bf16': Mutant(
            f'{stage}.features',
            'return self.read(',
            'with autocast(self.runtime):\n        return self.read(',
        ),
        'the other side is n steps': Mutant(f'{stage}.other_side', 'else n + 1', 'else n'),
        'a chain has no end':
            Mutant(f'{stage}.other_side', "'data' if self.settings.target == 'chain' else None", 'None'),
        'clips show what was asked of the student':
            Mutant(
                f'{stage}.rollouts',
                'self.world.hide(told, draws)',
                'batch.conditions[self.settings.counts[0]]',
            ),
        'the placebo is the same video': Mutant(
            'dmd:DmdStage.rollouts', 'step, number, name))', "step, number, int(str(name).split()[-1])))"
        ),
    }


def _randomness_and_training() -> dict[str, Mutant]:
    stage, learner = 'training:Stage', 'learner:Learner'
    return {
        'names of streams run together': Mutant('randomness:stream', "'/'.join", "''.join"),
        'streams ignore the seed': Mutant('randomness:stream', 'int(seed), *names', '0, *names'),
        'all blocks draw from the first stream':
            Mutant('randomness:Draws.each', 'draw(self.rows, generator)', 'draw(self.rows, self.streams[0])'),
        'uniform numbers are normal': Mutant('randomness:Draws.uniform', 'torch.rand(', 'torch.randn('),
        'autocast does nothing': Mutant('devices:autocast', "how.precision == 'fp32'", 'True'),
        'methods have their own draws': Mutant(f'{stage}.common_stream', 'self.address', 'self.name'),
        'methods have their own blocks': Mutant(f'{stage}.block_stream', 'self.address', 'self.name'),
        'all blocks have one stream': Mutant(f'{stage}.block_stream', ', *names, index)', ', *names)'),
        'all turns draw the same': Mutant(f'{stage}.draws', 'settings.turns + turn', 'settings.turns'),
        'all processes draw the same': Mutant(f'{stage}.draws', 'self.group.rank *', '0 *'),
        'steps share their draws':
            Mutant(f'{stage}.turns', 'self.draws(turn, *names)', 'self.draws(turn, *names[1:])'),
        'the loss is not divided by the turns': Mutant(f'{stage}.backward', 'loss / self.settings.turns', 'loss'),
        'gradients pile up': Mutant(f'{stage}.turns', 'learner.zero_grad()', 'pass'),
        'the log is that of the last turn': Mutant(f'{stage}.take_step', 'mean_logs(self.notes)', 'self.notes[-1]'),
        'means of logs count missing entries': Mutant(
            'training:mean_logs',
            'for entry in logs if n in entry]).mean()',
            'for entry in logs if n in entry]).sum() / len(logs)',
        ),
        'states forget what is beside the networks': Mutant(f'{stage}.load', 'part.load_state_dict(state', '(state'),
        'optimisers are not resumed': Mutant(f'{learner}.load', 'optimizer.load_state_dict(values)', 'pass'),
        'averages are not resumed': Mutant(f'{learner}.load', 'self.average.load_state_dict(', '('),
        'weights are not resumed': Mutant(f'{learner}.load', 'self.model.load_state_dict(', '('),
        'logs are not resumed': Mutant('training:_window', "record.pop('window', [])", "record.pop('window', [])[:0]"),
        'Muon does not orthogonalise': Mutant('learner:Muon._move', 'orthogonalize(', '('),
        'Muon has no momentum': Mutant('learner:Muon._move', "p.grad.lerp(mean, group['momentum'])", 'p.grad'),
        'Muon ignores the size of a matrix': Mutant('learner:Muon._move', ' * max(p.shape) ** .5', ''),
        'Muon has no weight decay': Mutant('learner:Muon._move', "1 - group['lr'] * group['weight_decay']", '1'),
        'the quintic has another coefficient': Mutant('learner:orthogonalize', '4.7750', '4.5'),
        'the learning rate begins at 0': Mutant('learner:lr_factor', 'step - since + 1', 'step - since'),
        'the learning rate does not fall': Mutant('learner:lr_factor', ', fall)', ')'),
        'the rise ignores when it begins': Mutant('learner:lr_factor', 'step - since + 1', 'step + 1'),
        'members are clipped together': Mutant(
            'learner:clip_gradients',
            '.norm(dim=0) * members',
            '.norm(dim=0).norm() * members + torch.zeros(members)',
        ),
        'the mean over members is not undone': Mutant('learner:clip_gradients', 'scale = members *', 'scale ='),
        'nothing is clipped': Mutant(f'{learner}.step', 'settings.clip, self', '1e9, self'),
        'the learning rate is constant': Mutant(f'{learner}.step', 'settings.lr * factor', 'settings.lr'),
        'nothing is averaged': Mutant(f'{learner}.step', 'self.follow(self.average)', 'pass'),
        'the average is of another decay':
            Mutant(f'{learner}.__init__', 'get_ema_multi_avg_fn(settings.average)', 'get_ema_multi_avg_fn(.5)'),
        'AdamW for all': Mutant(f'{learner}.__init__', 'settings.muon and', 'False and'),
        'AdamW has the usual momentum': Mutant(f'{learner}.__init__', 'betas=betas', 'betas=(.9, .99)'),
    }


MUTANTS: dict[str, Mutant] = {
    **_denoiser(), **_flow(), **_schedule(), **_rollout(), **_cache(), **_transformer(), **_causal_and_teacher(),
    **_dmd(), **_discriminator(), **_asd(), **_randomness_and_training(),
}
