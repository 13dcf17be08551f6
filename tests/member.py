"""One process of a small training: member.py WEIGHTS FOLDER {alone,together,split}[-wan] STOP [key=value]

Trains up to step STOP, keeps its state in FOLDER ("" for nowhere) and writes all weights and the history to WEIGHTS."""
import ast, os, sys

import torch

from asdvideo.asd import AsdStage
from asdvideo.core import randn, save_tensors, stream
from asdvideo.dit import shaken
from asdvideo.scale import LatentPreset, NoTexts, Processes, wan_stage
from asdvideo.train import Preset, Team, fit
from asdvideo.wan import make_wan

out, folder, how, stop, *more = sys.argv[1:]
how, _, wan = how.partition('-')
torch.set_num_threads(1)
team = Team() if how == 'alone' else Processes(shard=how == 'split')
settings = {k: ast.literal_eval(v) for k, v in (m.split('=') for m in more)} if team.rank else {}     # others than process 0 may be told otherwise
settings = {'batch': 4, 'steps': 6, 'critic_warmup': 1, 'critic_updates': 2, 'warmup': 1, 'asd_after': 1, 'calibrate': 1, **settings, 'device': 'cpu', 'team': team}
if wan:     # low-rank additions, activations recomputed
    texts = NoTexts(randn((1, 5, 16), stream(0, 'text')))
    stage = wan_stage('asd', make_wan().model, None, texts, LatentPreset(frames=4, chunk=2, rows=4, cols=4), lora=2, lr=1e-3, lr_fake=1e-3, **settings)
else:
    torch.manual_seed(0)
    tiny = Preset(size=16, frames=4, width=16, depth=2, heads=1)
    net = shaken(tiny.network())
    stage = AsdStage(net, net, preset=tiny, **settings)
record = fit(stage, folder or None, log_every=1, stop_after=int(stop), quiet=True)
weights = {f'{k}.{name}': v for k, tensors in stage.state()['networks'].items() for name, v in tensors.items()}
if team.rank == 0: save_tensors(out, weights, {'history': record['history']})
os._exit(0)      # at once: a thread of gloo may outlive the interpreter, and abort it
