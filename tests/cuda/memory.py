"The memory that a distillation of Wan takes, against what `asdvideo plan` says of it. It needs peft."
from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from cases import on
from checks import Check, Machine, Value
from diffusers import WanTransformer3DModel
from torch import nn
from wan import RandomPrompts

from asdvideo.devices import Runtime
from asdvideo.dmd import DmdStage
from asdvideo.schedule import StepList
from asdvideo.settings import changed
from asdvideo.wan.memory import Meter, Nobody, NoPrompts, planned_bytes
from asdvideo.wan.model import TINY
from asdvideo.wan.training import KINDS, WanSettings, wan_stage

META = torch.device('meta')
MEDIUM = {
    'num_attention_heads': 12, 'attention_head_dim': 64, 'in_channels': 16, 'out_channels': 16, 'text_dim': 512,
    'freq_dim': 256, 'ffn_dim': 3072, 'num_layers': 12,
}
LENGTH = 64
"tokens of a prompt"


def distillation(kind: str, machine: Machine, how: Runtime) -> DmdStage:
    "A training; on the meta device it is the one that is planned."
    meta = how.device == META
    config = TINY if machine.dry else MEDIUM
    wan = WanSettings(frames=6, chunk=3, rows=16, cols=16) if machine.dry else WanSettings(frames=12, rows=32, cols=32)
    with torch.device(how.device):
        torch.manual_seed(0)
        model, real = WanTransformer3DModel(**config), WanTransformer3DModel(**config)
    if meta:        # as `planned_stage` does; diffusers' own `to` would warn
        model, real = (nn.Module.to(net, torch.bfloat16) for net in (model, real))
    prompts = (NoPrompts if meta else RandomPrompts)(config['text_dim'], LENGTH)
    settings = changed(KINDS[kind], batch=1, fake_rounds=1)
    group = Nobody() if meta else None
    return wan_stage(kind, model, prompts, wan, settings, real, StepList(4, 5.), runtime=how, group=group)


def measured(kind: str, machine: Machine) -> int:
    "The most bytes that two steps take; without a device those that are made inside the steps."
    how = on(machine.device, 'bf16')
    if machine.dry:
        stage = distillation(kind, machine, how)
        with Meter('cpu') as meter:
            stage.train_step(3)
        return meter.peak
    torch.cuda.reset_peak_memory_stats(machine.device)
    before = torch.cuda.memory_allocated(machine.device)
    stage = distillation(kind, machine, how)
    for step in (2, 3):
        stage.train_step(step)
    return torch.cuda.max_memory_allocated(machine.device) - before


def planned(kind: str, machine: Machine) -> float:
    "The bytes that the plan says, for one process that gathers nothing; without a device those made inside the steps."
    parts = planned_bytes(distillation(kind, machine, on(META)), 1)
    inside = ('gradients', 'moments of Adam', 'activations, caches, videos')
    return sum(size for name, size in parts.items() if name in inside or not (machine.dry or name == 'gathered blocks'))


def against_plan(machine: Machine, kind: str) -> Iterator[Value]:
    "Measured and planned."
    ours, plan = measured(kind, machine), planned(kind, machine)
    yield Value('measured', ours / 1e9, unit='GB')
    yield Value('planned', plan / 1e9, unit='GB')
    yield Value('measured / planned', ours / plan, most=1.2)
    yield Value('planned / measured', plan / ours, most=1.6)


def checks(machine: Machine) -> list[Check]:
    "All checks of this part."
    return [Check(f'{kind}, one device', partial(against_plan, machine, kind)) for kind in KINDS]
