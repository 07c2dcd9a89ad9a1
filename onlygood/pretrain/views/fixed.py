"""Fixed views: what a detector shows the encoder of every image, and in which order."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.views.geometry import geometric_transforms, reflect


class FixedView(NamedTuple):
    """The image flipped, then shifted by ``right`` and ``down`` px, then turned by ``turn`` quarter turns.

    A shift fills what it uncovers by reflection. ``zoom`` below 1 comes first: it enlarges a part of the
    image, that share of each side, ``across`` and ``along`` from the left and upper border (0) to the others
    (1).
    """

    flip: bool = False
    right: int = 0
    down: int = 0
    turn: int = 0
    zoom: float = 1.0
    across: float = 0.5
    along: float = 0.5


class FixedViews(nn.Module):
    """K views of float images, made alike in torch and in ONNX.

    ``classes`` ``(K,)`` are the true classes of the views in the task's classifier: their numbers, unless
    several views are of one class. A task whose test views are of another kind derives from this one.
    """

    def __init__(
        self, views: Sequence[FixedView] = (FixedView(),), classes: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.views = tuple(views)
        self.count = len(self.views)
        self.classes = tuple(range(self.count)) if classes is None else tuple(classes)

    def groups(self, height: int, width: int) -> list[list[int]]:
        """Numbers of the views that have one shape: an oblong that is turned once or thrice lies across."""
        across = [number for number, view in enumerate(self.views) if view.turn % 2 and height != width]
        straight = [number for number in range(self.count) if number not in across]
        return [group for group in (straight, across) if group]

    def forward(self, x: Tensor, which: Sequence[int]) -> Tensor:
        """The views ``which``, all of one shape, ``(N, k, C, H, W)`` of images ``(N, C, H, W)``.

        Views without zoom are one gather with one table of pixel numbers, however many they are.
        """
        batch, channels, height, width = x.shape
        shape = (width, height) if self.views[which[0]].turn % 2 else (height, width)
        found: list[Tensor] = []
        order: list[int] = []
        for (zoom, across, along), numbers in _by_window(self.views, which).items():
            order += numbers
            part = x if zoom == 1 else _enlarged(x, zoom, across, along)
            if [self.views[number] for number in numbers] == [FixedView()]:  # a tenth of a model's time
                found.append(part[:, None])
                continue
            table = np.stack([_index(height, width, self.views[number]) for number in numbers])
            moved = part.flatten(2).index_select(2, torch.from_numpy(table.ravel()).to(x.device))
            found.append(moved.reshape(batch, channels, len(numbers), *shape).transpose(1, 2))
        seen = found[0] if len(found) == 1 else torch.cat(found, dim=1)
        if order == list(which):
            return seen
        return seen.index_select(1, torch.tensor([order.index(number) for number in which], device=x.device))

    def first(self) -> "FixedViews":
        """The first view alone."""
        return FixedViews(self.views[:1], self.classes[:1])

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


def _by_window(
    views: Sequence[FixedView], which: Sequence[int]
) -> dict[tuple[float, float, float], list[int]]:
    """Numbers of the views that enlarge the same part of the image."""
    windows: dict[tuple[float, float, float], list[int]] = {}
    for number in which:
        windows.setdefault(views[number][4:], []).append(number)
    return windows


def _enlarged(x: Tensor, zoom: float, across: float, along: float) -> Tensor:
    height, width = x.shape[2:]
    high, wide = max(1, round(height * zoom)), max(1, round(width * zoom))
    top, left = round((height - high) * along), round((width - wide) * across)
    part = x[:, :, top : top + high, left : left + wide]
    return functional.interpolate(part, size=(height, width), mode="bilinear", align_corners=False)


@lru_cache(maxsize=256)
def _index(height: int, width: int, view: FixedView) -> NDArray[np.int64]:
    """Of each pixel of the view, row by row, the number of the image's pixel that it shows."""
    rows = reflect(np.arange(height) - view.down, height - 1)
    columns = reflect(np.arange(width) - view.right, width - 1)
    if view.flip:
        columns = width - 1 - columns
    return np.ascontiguousarray(np.rot90(rows[:, None] * width + columns, view.turn)).ravel()
