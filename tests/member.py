"""One process of small trainings: member.py JOBS.json

Every job is a training: its kind, network, how it is shared, where its state is kept, and where it stops."""
import copy
import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from asdvideo.asd import AsdSettings, AsdStage
from asdvideo.causal import causal
from asdvideo.denoiser import CausalLayout
from asdvideo.digits import DigitsSettings, SteeredDigits
from asdvideo.discriminator import head_for
from asdvideo.dmd import DmdSettings, DmdStage
from asdvideo.files import save_json, save_tensors
from asdvideo.initialisation import InitialisationSettings, InitialisationStage, Paths, PathSettings, record_paths
from asdvideo.judge import Judge, JudgeConfig, JudgeSettings, JudgeStage
from asdvideo.learner import LearnerSettings
from asdvideo.randomness import stream
from asdvideo.schedule import StepList
from asdvideo.settings import changed
from asdvideo.teacher import TeacherSettings, TeacherStage
from asdvideo.training import fit
from asdvideo.transformer import NetworkConfig, VideoTransformer
from asdvideo.world import Clips

STEPS = 3
LEARNER = LearnerSettings(lr=.003, warmup=1, decay=0., beta1=.5, average=.5)
COMMON = {
    'steps': STEPS, 'batch': 4, 'block': 1, 'wait': 0, 'fake_rounds': 1, 'counts': (1, 2), 'fake_score': LEARNER,
    'student': LEARNER,
}


PLAIN = {'judge': JudgeSettings, 'teacher': TeacherSettings, 'init': InitialisationSettings}


def small_stage(kind, turns, group):
    "A stage of a small transformer on random clips."
    torch.manual_seed(0)
    config = NetworkConfig(size=8, patch=4, width=16, depth=2, heads=1, labels=(3,))
    net = VideoTransformer(config)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=.2)
    world = Clips(torch.rand(8, 4, 1, 8, 8) * 2 - 1, torch.arange(8)[:, None] % 3)
    networks = (causal(net, CausalLayout(2)), copy.deepcopy(net), copy.deepcopy(net))
    if kind in PLAIN:
        return plain_stage(kind, turns, group, networks, world)
    if kind == 'dmd':
        return DmdStage(DmdSettings(**COMMON, turns=turns), *networks, world, StepList(2), group=group)
    head = head_for(config, 2)
    torch.nn.init.normal_(head.logits.weight, std=.2)
    settings = AsdSettings(**COMMON, turns=turns, calibrate=1, head=changed(LEARNER, average=0.))
    return AsdStage(settings, *networks, head, world, StepList(2), group=group)


def plain_stage(kind, turns, group, networks, world):
    "Trainings of a judge, a teacher, and the start of a student."
    settings = PLAIN[kind](steps=STEPS, batch=4, block=1, turns=turns, learner=LEARNER)
    if kind == 'judge':
        clips = SteeredDigits(DigitsSettings(size=16, frames=4), 'judge')
        return JudgeStage(settings, Judge(JudgeConfig(size=16, width=16, features=8)), clips, group=group)
    student, teacher, _ = networks
    if kind == 'teacher':
        return TeacherStage(settings, teacher, world, group=group)
    with tempfile.TemporaryDirectory() as folder:
        recorded = PathSettings(count=8, shard=8, steps=2, guidance=1.)
        record_paths(teacher.eval(), world, StepList(2), recorded, folder, 'x', quiet=True)
        return InitialisationStage(settings, student, Paths(folder), StepList(2), group=group)


def wan_stage(turns, group):
    "ASD on a tiny Wan with low-rank additions and activations that are computed again; only one process has weights."
    from asdvideo.wan.memory import NoPrompts
    from asdvideo.wan.model import TINY, random_wan
    from asdvideo.wan.training import WAN_ASD, WanSettings, wan_stage

    class RandomPrompts(NoPrompts):
        def __init__(self):
            self.null = torch.randn(1, 6, TINY['text_dim'], generator=stream(0, 'null'))

        def take(self, indices):
            rows = [torch.randn(6, TINY['text_dim'], generator=stream(0, int(i))) for i in indices]
            return torch.stack(rows)

    model, real = random_wan().model, random_wan(seed=1).model
    if group.splits and group.rank:
        model, real = model.to('meta'), real.to('meta')
    settings = changed(
        WAN_ASD, **{**COMMON, 'turns': turns, 'calibrate': 1, 'guidance': 2., 'head': changed(LEARNER, average=0.)}
    )
    wan = WanSettings(frames=4, chunk=2, rows=4, cols=4, lora=2)
    return wan_stage('asd', model, RandomPrompts(), wan, settings, real, StepList(2, 5.), group=group)


class Live(TorchDispatchMode):
    "Counts the bytes of all storages that operations have made and that are still there, and keeps the largest count."

    def __init__(self):
        super().__init__()
        self.known, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            if isinstance(tensor, torch.Tensor) and tensor.device.type != 'meta':
                storage = tensor.untyped_storage()
                self.known[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.known = {key: entry for key, entry in self.known.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.known.values()))
        return out


def start_up(job, group):
    "Split a network over the processes, and write what the second one held at most while it got its share."
    with torch.device('meta' if group.rank else 'cpu'):
        net = VideoTransformer(NetworkConfig(width=64, depth=8, heads=2))
    sizes = [p.numel() * p.element_size() for p in net.parameters()]
    with Live() as live:
        net = group.place(net, torch.device('cpu'))
    if group.rank:
        share = sum(p.to_local().numel() * p.element_size() for p in net.parameters())
        save_json(Path(job['out']), {'peak': live.peak, 'share': share, 'largest': max(sizes), 'whole': sum(sizes)})


def run(job, group):
    "Train, and write the student's and the average's weights and the history."
    kind, turns = job['kind'], job.get('turns', 1)
    stage = wan_stage(turns, group) if kind == 'wan' else small_stage(kind, turns, group)
    record = fit(stage, job.get('folder'), log_every=1, stop_after=job.get('stop', STEPS), quiet=True)
    weights = {}
    for name, learner in stage.learners.items():
        for part, net in {'model': learner.model, 'result': learner.result}.items():
            state = {key: group.whole(value).detach().cpu() for key, value in net.state_dict().items()}
            weights |= {f'{name}.{part}.{key}': value for key, value in state.items()}
    if group.rank == 0:
        save_tensors(job['out'], weights, {})
        save_json(Path(job['out']).with_suffix('.json'), record['history'])


if __name__ == '__main__':
    from asdvideo.distributed import Processes

    torch.set_num_threads(1)
    groups = {'plain': Processes(), 'split': Processes(shard=True)}
    for job in json.loads(Path(sys.argv[1]).read_text()):
        (start_up if job['kind'] == 'start' else run)(job, groups[job['how']])
    groups['plain'].any(True)
    sys.stdout.flush()
    os._exit(0)      # at once: a thread of gloo may outlive the interpreter, and abort it
