"""What an image looks like, in a few cheap numbers that move when light, lens, camera or material do."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.model.frames import gray, measure
from onlygood.runtime.model.metadata import Appearances


class Appearance(NamedTuple):
    """Statistics of one image at the model's size; `Appearances` explains them."""

    brightness: float
    contrast: float
    sharpness: float
    across: float
    down: float


def appearance(pixels: NDArray[np.uint8]) -> Appearance:
    """The statistics of an image ``(H, W, C)`` at the model's size."""
    frame, plane = measure(pixels), gray(pixels)
    weight = np.abs(plane - np.median(plane))
    total = float(weight.sum())
    across, down = (
        float(weight.sum(axis=axis) @ np.linspace(0, 1, plane.shape[1 - axis])) / total if total else 0.5
        for axis in (0, 1)
    )
    return Appearance(frame.brightness, frame.contrast, frame.sharpness, across, down)


def collected(looks: Sequence[Appearance], before: Appearances | None = None) -> Appearances:
    """The statistics of several images, and of those ``before``, as a model file holds them."""
    columns = {}
    for name, values in zip(Appearance._fields, zip(*looks, strict=True), strict=True):
        kept = [] if before is None else getattr(before, name)
        columns[name] = sorted([*kept, *(float(f"{value:.7g}") for value in values)])
    return Appearances(**columns)
