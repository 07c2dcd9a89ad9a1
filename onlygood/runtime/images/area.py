"""The part of an image that counts; the rest is blank: it takes the mean color of the part that counts.

So nothing outside can change a score, and brightness still drops out of a model that standardizes.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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
