"""Fixed views: what a detector shows the encoder of every image, and in which order."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.views.geometry import geometric_transforms


class FixedView(NamedTuple):
    """The image flipped, then shifted by ``right`` and ``down`` px, then turned by ``turn`` quarter turns.

    A shift fills what it uncovers by reflection. ``zoom`` below 1 cuts the image's middle, that share of each
    side, and enlarges it; it comes first.
    """

    flip: bool = False
    right: int = 0
    down: int = 0
    turn: int = 0
    zoom: float = 1.0


class FixedViews(nn.Module):
    """K views of float images, made alike in torch and in ONNX.

    A task whose test views are of another kind gives a module with the same ``count``, ``forward`` and
    ``restore``.
    """

    def __init__(self, views: Sequence[FixedView] = (FixedView(),)) -> None:
        super().__init__()
        self.views = tuple(views)
        self.count = len(self.views)

    def forward(self, x: Tensor) -> list[Tensor]:
        """K tensors ``(N, C, H, W)``; those that are turned once or three times are ``(N, C, W, H)``."""
        return [_see(x, view) for view in self.views]

    def first(self) -> "FixedViews":
        """The first view alone."""
        return FixedViews(self.views[:1])

    @property
    def keep_places(self) -> bool:
        """Whether each view shows all places of the image, so that `restore` can put maps back in place."""
        return all(view[1:3] == (0, 0) and view.zoom == 1 for view in self.views)

    def restore(self, maps: Tensor, index: int) -> Tensor:
        """A map ``(N, D, h, w)`` of view ``index``, turned and flipped back."""
        view = self.views[index]
        turned = maps.rot90(-view.turn, (2, 3)) if view.turn else maps
        return turned.flip(3) if view.flip else turned


def turned_views() -> FixedViews:
    """The four quarter turns."""
    return FixedViews([FixedView(turn=turn) for turn in range(4)])


def geometric_views(*, flips: bool, shift: int, turns: bool) -> FixedViews:
    """The transforms of `geometric_transforms`, in its order."""
    table = geometric_transforms(flips=flips, shift=shift, turns=turns).tolist()
    return FixedViews([FixedView(bool(flip), right, down, turn) for flip, right, down, turn in table])


def _see(x: Tensor, view: FixedView) -> Tensor:
    height, width = x.shape[2:]
    if view.zoom != 1:
        high, wide = max(1, round(height * view.zoom)), max(1, round(width * view.zoom))
        top, left = (height - high) // 2, (width - wide) // 2
        middle = x[:, :, top : top + high, left : left + wide]
        x = functional.interpolate(middle, size=(height, width), mode="bilinear", align_corners=False)
    if view[:3] == (False, 0, 0):
        return x.rot90(view.turn, (2, 3)) if view.turn else x
    index = torch.from_numpy(_index(height, width, view)).to(x.device)
    shape = (width, height) if view.turn % 2 else (height, width)
    return x.flatten(2).index_select(2, index).reshape(*x.shape[:2], *shape)


@lru_cache(maxsize=256)
def _index(height: int, width: int, view: FixedView) -> NDArray[np.int64]:
    """Of each pixel of the view, row by row, the number of the image's pixel that it shows."""
    rows = _reflected(np.arange(height) - view.down, height - 1)
    columns = _reflected(np.arange(width) - view.right, width - 1)
    if view.flip:
        columns = width - 1 - columns
    return np.ascontiguousarray(np.rot90(rows[:, None] * width + columns, view.turn)).ravel()


def _reflected(index: NDArray[np.int64], last: int) -> NDArray[np.int64]:
    """Indices beyond 0 … ``last``, mirrored at the border pixel."""
    return np.asarray(last - np.abs(last - np.abs(index)))
