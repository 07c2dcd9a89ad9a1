"""The part of an image that counts; the rest is blank: it takes the mean color of the part that counts.

So nothing outside can change a score, and brightness still drops out of a model that standardizes.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling, Transpose

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.resize import Box

SHAPE = 1.02  # by which width over height of an image and of what was drawn for it may differ


def runs_of(inside: NDArray[np.bool_]) -> list[int]:
    """How many pixels in a row, row by row, lie outside, inside, outside …; the first number may be 0."""
    flat = inside.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def from_runs(runs: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The area ``(height, width)`` of which `runs_of` gives ``runs``."""
    sides = np.fromiter(itertools.cycle((False, True)), bool, len(runs))
    return np.repeat(sides, runs).reshape(height, width)


def blanked(images: NDArray[np.uint8], inside: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Images ``(…, H, W, C)`` whose pixels outside have the mean of those inside, rounded down."""
    if inside is None:
        return images
    total = images.sum(axis=(-3, -2), dtype=np.int64, where=inside[..., None], keepdims=True)
    return np.where(inside[..., None], images, (total // inside.sum()).astype(np.uint8))


@dataclass(frozen=True)
class Area:
    """What counts of images of any size: drawn on one of them, or on a smaller one of its proportions."""

    drawn: Image.Image  # mode L, upright: 255 counts, 0 does not

    @classmethod
    def of(cls, marked: NDArray[np.bool_]) -> Self:
        """The pixels ``(H, W)`` that are marked."""
        return cls(Image.fromarray(marked.astype(np.uint8) * 255))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, the same for the same drawing."""
        return hashlib.blake2b(
            f"{self.drawn.size}".encode() + self.drawn.tobytes(), digest_size=8
        ).hexdigest()

    def check(self, width: int, height: int) -> None:
        """Check that an image of this size has the proportions of the drawing.

        Raises:
            ImageError: it has others.
        """
        ratio = self.drawn.width / self.drawn.height * height / width
        if max(ratio, 1 / ratio) > SHAPE:
            raise ImageError(
                f"{width} x {height} px, and --roi or --ignore was drawn on {self.drawn.width} x"
                f" {self.drawn.height}, which are other proportions"
            )

    def turned(self, turn: Transpose | None) -> "Area":
        """The same of an image that is turned so."""
        return self if turn is None else Area(self.drawn.transpose(turn))

    def bounds(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, upper, right and lower of what counts in an image of this size, in whole pixels."""
        across, down = width / self.drawn.width, height / self.drawn.height
        left, upper, right, lower = self.drawn.getbbox() or (0, 0, 0, 0)
        return floor(left * across), floor(upper * down), ceil(right * across), ceil(lower * down)

    def inside(self, box: Box, size: tuple[int, int], image: tuple[int, int]) -> NDArray[np.bool_]:
        """Which of ``size`` (columns, rows) equal pieces of a ``box`` of an ``image`` count by half."""
        across, down = self.drawn.width / image[0], self.drawn.height / image[1]
        right, lower = min(box[2] * across, self.drawn.width), min(box[3] * down, self.drawn.height)
        place = (box[0] * across, box[1] * down, right, lower)
        return np.asarray(self.drawn.resize(size, Resampling.BOX, place)) >= 128
