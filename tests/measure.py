"""One of two processes that split a small Wan by FSDP2: measure.py OUT writes to OUT, for each case, the MB per process that are planned and measured.

Measured is what the C library's allocator has given out (glibc), for torch's profiler does not see what gloo's threads free. gloo copies what it exchanges, a
block at a time, which no GPU has to do: that block is added to the plan. FSDP2 computes in fp32 on CPUs, so the plan does too."""
import ctypes, gc, os, sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asdvideo.core import provenance, save_json
from asdvideo.scale import LatentPreset, NoTexts, Processes, late_steps, numel, planned_bytes, planned_stage, wan_stage
from asdvideo.wan import TINY_WAN, make_wan

WAN = {**TINY_WAN, 'num_attention_heads': 8, 'attention_head_dim': 48, 'ffn_dim': 1536, 'num_layers': 3}
PRESET = LatentPreset(frames=4, chunk=2, rows=8, cols=8)
CASES = {'all weights': (0, True), 'additions of rank 8': (8, True)}     # rank, checkpointing


class Heap(ctypes.Structure): _fields_ = [(n, ctypes.c_size_t) for n in 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'.split()]
mallinfo = ctypes.CDLL(None).mallinfo2; mallinfo.restype = Heap
def used(): heap = mallinfo(); return heap.uordblks + heap.hblkhd

class Peak(TorchDispatchMode):
    "The most bytes in use after any operation."
    peak = 0
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if any(t.numel() > 10_000 for t in tree_leaves(out) if isinstance(t, torch.Tensor)): self.peak = max(self.peak, used())      # it takes its time
        return out

def begin(lora, checkpointing):
    "A stage under way, and its steps."
    stage = wan_stage('asd', *(make_wan(WAN, seed=i).model for i in (0, 1)), NoTexts(torch.zeros(1, 512, WAN['text_dim'])), PRESET, lora, checkpointing, batch=team.size, device='cpu', critic_warmup=0, asd_after=0, calibrate=1, team=team)
    steps = late_steps(stage)
    for step in steps.values(): step()
    stage.forget(*stage.optimizers); gc.collect()
    return stage, steps

def measured(case):
    gc.collect(); before = used()
    stage, steps = begin(*case)
    out = {'at rest': used() - before}
    for name, step in steps.items():
        with Peak() as watch: step()
        stage.forget(*stage.optimizers)
        out[f'{name} step'] = watch.peak - before
    return {k: max(o[k] for o in team.everyone(out)) for k in out}

def planned(case):
    stage = planned_stage(WAN, WAN, 'asd', PRESET, *case, torch.float32)
    parts, gloo = planned_bytes(stage, team.size, torch.float32), 4 * numel(stage.teacher.model.blocks[0])
    *rest, gathered, generator, critic = parts.values()
    return {'at rest': sum(rest), 'generator step': sum(rest) + gathered + gloo + generator, 'critic step': sum(rest) + gathered + gloo + critic}

torch.set_num_threads(1); torch.manual_seed(0)
team = Processes(shard=True)
begin(8, True); gc.collect()              # libraries are imported, pools are filled
facts = {name: measured(case) for name, case in CASES.items()}
if team.rank == 0:
    plans = {name: planned(case) for name, case in CASES.items()}
    save_json(sys.argv[1], {'MB': {name: {k: [round(x[name][k] / 1e6, 1) for x in (plans, facts)] for k in facts[name]} for name in CASES}, 'provenance': provenance(team.device)})
os._exit(0)      # at once: a thread of gloo may outlive the interpreter, and abort it
