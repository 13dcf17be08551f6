"""What makes the CPU wait for a device: copies that block, and questions for a number. On CUDA torch itself tells;
on the meta device, where there is nothing to wait for, the calls are watched from which such a wait would come."""
from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PACKAGE = f'{Path("asdvideo")}/'


def place() -> str:
    "The line of the package that is at work."
    frames = [f for f in traceback.extract_stack() if PACKAGE in f.filename]
    return f'{Path(frames[-1].filename).name}:{frames[-1].lineno}' if frames else 'elsewhere'


def off_device(x: object) -> bool:
    "Whether something must be carried to the device before it can index a tensor there."
    return isinstance(x, list) or (isinstance(x, Tensor) and (not x.is_meta or x.dtype == torch.bool))


class Watch(TorchFunctionMode):
    "Takes note of calls that would make the CPU wait, if the meta device were CUDA."

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def blocks(self, func: Callable, args: tuple, kwargs: dict, out: object) -> bool:
        "Whether a call would wait."
        if func in (torch.tensor, torch.as_tensor):
            return isinstance(out, Tensor) and out.is_meta
        if func in (Tensor.to, Tensor.cuda):
            carried = isinstance(out, Tensor) and out.is_meta and not args[0].is_meta
            return carried and not kwargs.get('non_blocking', False)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            return args[0].is_meta and any(map(off_device, index))
        if func in (Tensor.repeat_interleave, torch.repeat_interleave):
            return isinstance(args[1], Tensor) and args[1].is_meta and kwargs.get('output_size') is None
        return False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        "Make the call, and look at it."
        out = func(*args, **(kwargs or {}))
        if self.blocks(func, args, kwargs or {}, out):
            self.places.append(place())
        return out


@contextmanager
def waits(device: torch.device) -> Iterator[list[str]]:
    "The list of places that have made the CPU wait inside; it is complete afterwards."
    if device.type == 'meta':
        with Watch() as watch:
            yield watch.places
        return
    places: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode('default')
    places += [f'{Path(w.filename).name}:{w.lineno}' for w in found if 'synchroniz' in str(w.message)]
