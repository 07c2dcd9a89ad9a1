"""From heatmaps back to the pixels of the file: which regions stand out, and where they lie in it."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Transpose

from onlygood.runtime.images.heat import Patch, on_image, patches
from onlygood.runtime.images.resize import Box, paste_box
from onlygood.runtime.images.spec import InputSpec

_SLACK = 1e-6  # of a pixel, which floating-point numbers may miss
# How each turn is undone: flip x, flip y of the upright image, then exchange x and y.
_TURNS: dict[Transpose | None, tuple[bool, bool, bool]] = {
    Transpose.FLIP_LEFT_RIGHT: (True, False, False),
    Transpose.ROTATE_180: (True, True, False),
    Transpose.FLIP_TOP_BOTTOM: (False, True, False),
    Transpose.TRANSPOSE: (False, False, True),
    Transpose.ROTATE_270: (True, False, True),
    Transpose.ROTATE_90: (False, True, True),
    Transpose.TRANSVERSE: (True, True, True),
}

Number = TypeVar("Number", int, float)
PixelBox = tuple[int, int, int, int]  # left, upper, right, lower; the last two are beyond it


@dataclass(frozen=True)
class Placed:
    """A heatmap, and where it lies in its image."""

    heatmap: NDArray[np.float32]  # (h, w)
    box: Box  # of its borders in pixels of the upright image
    canvas: tuple[int, int]  # rows and columns in which regions are looked for

    @classmethod
    def on_canvas(cls, heatmap: NDArray[np.float32], spec: InputSpec, width: int, height: int) -> "Placed":
        """The heatmap of an image of this size that was brought to the model's canvas."""
        return cls(heatmap, paste_box(width, height, spec), (spec.height, spec.width))


@dataclass(frozen=True)
class Region:
    """Connected pixels whose heat is above a threshold, in pixels of the file.

    They are found on the model's canvas: borders are as exact as one of its pixels.
    """

    box: PixelBox  # in the upright image, as viewers show it
    stored_box: PixelBox  # in the pixels as the file stores them, before its EXIF orientation
    area: int  # pixels of the file
    peak: float  # the highest value of the heatmap in it

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "box": list(self.box), "stored_box": list(self.stored_box)}


def regions(
    placed: Placed,
    threshold: float,
    size: tuple[int, int],
    *,
    turn: Transpose | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> list[Region]:
    """Regions of an image whose heatmap is above ``threshold``, the hottest first.

    Args:
        placed: the heatmap.
        threshold: in the heatmap's unit.
        size: width and height of the upright image.
        turn: what turned the file's pixels upright.
        inside: the pixels ``(H, W)`` of the canvas that count, where not all do.
    """
    width, height = size
    left, upper, right, lower = placed.box
    rows, columns = placed.canvas
    across, down = (right - left) / columns, (lower - upper) / rows
    canvas = on_image(placed.heatmap, columns, rows, (0, 0, columns, rows))
    x, y = left + (np.arange(columns) + 0.5) * across, upper + (np.arange(rows) + 0.5) * down
    canvas[(y < 0) | (y > height)] = -np.inf  # padding
    canvas[:, (x < 0) | (x > width)] = -np.inf

    if inside is not None:
        canvas[~inside] = -np.inf

    def region(patch: Patch) -> Region:
        first, top, last, bottom = patch.box
        box = (
            max(0, floor(left + first * across + _SLACK)),
            max(0, floor(upper + top * down + _SLACK)),
            min(width, ceil(left + last * across - _SLACK)),
            min(height, ceil(upper + bottom * down - _SLACK)),
        )
        area = min(max(1, round(patch.area * across * down)), (box[2] - box[0]) * (box[3] - box[1]))
        return Region(box, stored(box, width, height, turn), area, float(f"{patch.peak:.9g}"))

    return [region(patch) for patch in patches(canvas, threshold)]


def stored(
    box: tuple[Number, Number, Number, Number], width: int, height: int, turn: Transpose | None
) -> tuple[Number, Number, Number, Number]:
    """Where a box of the upright image, which is ``width`` x ``height``, lies in the pixels as stored."""
    left, upper, right, lower = box
    across, down, swapped = _TURNS.get(turn, (False, False, False))
    if across:
        left, right = width - right, width - left
    if down:
        upper, lower = height - lower, height - upper
    return (upper, left, lower, right) if swapped else (left, upper, right, lower)
