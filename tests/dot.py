"A causal denoiser that needs no training: a bright square that goes where it is asked to go."
import torch
from torch import Tensor

from asdvideo.denoiser import Cache, CausalLayout, Condition, Denoiser
from asdvideo.digits import HEADINGS


class DotCache(Cache):
    "Where the square is."

    frames = 0

    def __init__(self, frames: int, place: Tensor) -> None:
        self.frames, self.place = frames, place


class Dot(Denoiser):
    "Its clean video is known, so its velocity is exact."

    layout = CausalLayout(2, window=4)
    size, side = 24, 6

    def walk(self, cache: DotCache, condition: Condition) -> Tensor:
        "Places (b, f, 2) of the next frames; the square stops at the walls."
        place, places = cache.place, []
        for direction in condition.labels[..., 1].unbind(1):
            step = torch.where((direction < 0)[:, None], 0, 2 * HEADINGS[direction.clamp(min=0)])
            place = (place + step).clamp(0, self.size - self.side)
            places.append(place)
        return torch.stack(places, 1)

    def draw(self, places: Tensor) -> Tensor:
        "The video (b, f, 1, h, w) of a square at these places."
        line = torch.arange(self.size)
        inside = [(line >= place[..., None]) & (line < place[..., None] + self.side) for place in places.unbind(-1)]
        return 2. * (inside[0][..., :, None] & inside[1][..., None, :])[:, :, None] - 1

    def forward(self, xt, sigma, condition, cache=None, clean=None):
        return (xt - self.draw(self.walk(cache, condition))) / sigma[..., None, None, None]

    def empty_cache(self) -> DotCache:
        return DotCache(0, torch.full((1, 2), 9.))

    def append(self, cache, x0, condition, sigma=None) -> DotCache:
        return DotCache(cache.frames + x0.shape[1], self.walk(cache, condition)[:, -1])
