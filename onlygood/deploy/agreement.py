"""Does a smaller model judge as the one that it was made from? Ranks of good images, and painted defects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[NDArray[np.uint8]], float]  # of one image (H, W, C)


@dataclass(frozen=True)
class Agreement:
    """What is left of a model's judgment."""

    rank: float  # Spearman's correlation of both models' scores of good images
    auroc_before: float  # of painted defects against the same images without, in float
    auroc: float  # and now

    @property
    def loss(self) -> float:
        """Area lost; below 0 where there was a gain."""
        return self.auroc_before - self.auroc


class Probe:
    """Good images, and the same with painted defects, with the scores of the model in float."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], score: Score, *, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.good = list(images)
        self.painted = [paint(image, rng) for image in images]
        self.before = self.scores(score)

    def scores(self, score: Score) -> tuple[Floats, Floats]:
        """Scores ``(n,)`` of the good images and of the painted ones."""
        good, painted = (np.array([score(image) for image in some]) for some in (self.good, self.painted))
        return good, painted

    def compare(self, score: Score) -> Agreement:
        """How another model judges the images."""
        good, painted = self.scores(score)
        return Agreement(spearman(self.before[0], good), auroc(*self.before), auroc(good, painted))


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation of ``(n,)`` and ``(n,)``; 1 where all of both are equal."""
    a, b = ranks(one), ranks(other)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale == 0:
        return float(a @ a == b @ b)
    return float(a @ b) / scale


def auroc(good: Floats, bad: Floats) -> float:
    """The chance that a bad image scores above a good one; half for equal scores."""
    ordered = np.sort(good)
    below, up_to = (np.searchsorted(ordered, bad, side=side).mean() for side in ("left", "right"))
    return float((below + up_to) / 2 / len(good))


def ranks(values: Floats) -> Floats:
    """Ranks ``(n,)`` from 1 on, equal ones shared at their mean."""
    ordered = np.sort(values)
    first, last = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((first + last + 1) / 2)


def paint(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image ``(H, W, C)`` with one defect: a spot, a scratch, or a piece from elsewhere in it.

    Spots and scratches are a quarter to one and a half of the image's own contrast darker or brighter, at
    least 8 gray levels, so that some are plain and some hardly to be seen.
    """
    height, width, _ = image.shape
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    row, column = rng.uniform(0.15, 0.85) * height, rng.uniform(0.15, 0.85) * width
    angle = rng.uniform(0, np.pi)
    along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
    kind = rng.integers(3)
    if kind == 2:
        return _pasted(image, rng)
    if kind == 0:
        radii = np.maximum(1.5, np.exp(rng.uniform(np.log(0.015), np.log(0.08), 2)) * side)
        cover = 1 - np.hypot(along / radii[0], across / radii[1])
    else:
        length, thick = rng.uniform(0.1, 0.5) * side / 2, max(1.0, rng.uniform(0.003, 0.012) * side)
        bent = across - rng.normal(0, 0.15) * along**2 / length
        cover = np.minimum(1 - np.abs(bent) / thick, (length - np.abs(along)) / thick)
    depth = max(8.0, float(image.std()) * rng.uniform(0.25, 1.5)) * rng.choice([-1, 1])
    changed = image + depth * np.clip(2 * cover, 0, 1)[..., None]
    return np.asarray(np.clip(np.rint(changed), 0, 255), np.uint8)


def _pasted(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image with a rectangle of itself, turned over, in another place."""
    height, width, _ = image.shape
    h, w = (max(2, int(size * rng.uniform(0.06, 0.18))) for size in (height, width))
    (top, below), (left, right) = rng.integers(0, height - h, 2), rng.integers(0, width - w, 2)
    changed = image.copy()
    changed[below : below + h, right : right + w] = image[top : top + h, left : left + w][::-1, ::-1]
    return changed
