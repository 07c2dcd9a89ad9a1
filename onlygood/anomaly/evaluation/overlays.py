"""Heatmaps drawn over their images, and the choice of images to show."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from onlygood.anomaly.data.masks import read_mask
from onlygood.anomaly.evaluation.scores import Scored, Scores
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.heat import blended, on_image
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.resize import paste_box
from onlygood.runtime.images.spec import InputSpec

OUTLINE = (86, 180, 233)  # of the true defect: sky blue, which is not among the heatmap's colors
SIDE = 640  # longest side of an overlay, pixels


def chosen(scores: Scores, threshold: float, count: int) -> dict[str, list[int]]:
    """Indices of the images on the contact sheet, by the title of their row.

    Detected and missed images are taken from the defect types in turn, so that each type is shown.
    """
    order = sorted(range(len(scores.scored)), key=lambda index: -scores.scored[index].score)
    good = [index for index in order if scores.scored[index].sample.label == 0]
    bad = [index for index in order if scores.scored[index].sample.label == 1]
    detected = [index for index in bad if scores.scored[index].score > threshold]
    missed = [index for index in bad if scores.scored[index].score <= threshold]
    return {
        "Good images with the highest scores": good[:count],
        "Detected": _by_turns(detected, scores)[:count],
        "Missed": _by_turns(missed, scores)[:count],
    }


def heat_range(scores: Scores) -> tuple[float, float]:
    """Heatmap values at which color begins and at which it is full, the same for all pictures.

    Color begins at the 99 % quantile of the values of good images, so that normal values stay transparent. It
    is full at the median of the highest values of anomalous images. If one of the two kinds is missing, all
    images are used in its place.
    """
    labels = np.array([image.sample.label for image in scores.scored])
    everything = np.arange(len(labels))
    good, bad = (np.flatnonzero(labels == label) for label in (0, 1))
    good, bad = (kind if len(kind) else everything for kind in (good, bad))
    enough = good[:: 1 + len(good) * scores.heatmaps[0].size // 8_000_000]
    low = float(np.quantile(scores.heatmaps[enough], 0.99))
    high = float(np.median([scores.heatmaps[index].max() for index in bad]))
    if high <= low:
        high = float(scores.heatmaps.max())
    return low, high if high > low else low + 1.0


def picture(
    image: Scored, heatmap: NDArray[np.float32], spec: InputSpec, heat: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The image and its overlay, uint8 ``(H, W, 3)`` of at most `SIDE`; None if it can no longer be read."""
    scale = min(1.0, SIDE / max(image.width, image.height))
    width, height = (min(max(8, round(side * scale)), 8192) for side in (image.width, image.height))
    view = InputSpec(height=height, width=width, channels=3, resize="stretch", bit_depth=spec.bit_depth)
    try:
        pixels = load_image(image.sample.path, view).pixels
    except ImageError:
        return None
    left, upper, right, lower = paste_box(image.width, image.height, spec)
    across, down = width / image.width, height / image.height
    box = (left * across, upper * down, right * across, lower * down)
    drawn = on_image(heatmap, width, height, box)
    return pixels, overlay(pixels, drawn, heat, _mask(image, width, height))


def overlay(
    pixels: NDArray[np.uint8],
    heatmap: NDArray[np.float32],
    heat: tuple[float, float],
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Draw ``heatmap`` ``(H, W)`` over ``pixels`` ``(H, W, 3)``: clear below heat[0], full from heat[1].

    The outline of ``mask`` ``(H, W)``, the true defect, is drawn in sky blue.
    """
    drawn = blended(pixels, heatmap, heat)
    if mask is not None:
        thick = max(1, round(max(mask.shape) / 240))
        around = ndimage.binary_dilation(mask, np.ones((3, 3)), thick) & ~mask
        drawn[around] = OUTLINE
    return drawn


def _mask(image: Scored, width: int, height: int) -> NDArray[np.bool_] | None:
    """The image's mask at the size of its picture, if it has one that can be read."""
    if image.sample.mask is None:
        return None
    try:
        mask = read_mask(image.sample.mask).defect
    except ImageError:
        return None  # the metrics list it
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def overlay_name(index: int, image: Scored) -> str:
    """File name of an overlay, unique by the image's number: ``0012_crack_NAME.png``."""
    words = (_safe(word) for word in (image.sample.defect, image.sample.path.stem))
    return f"{index:04d}_{'_'.join(words)}.png"


def _safe(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "_", word)[:60]


def _by_turns(indices: Sequence[int], scores: Scores) -> list[int]:
    """The indices, one of each defect type in turn; within a type the order stays."""
    turn: dict[str, int] = {}
    keyed = []
    for index in indices:
        name = scores.scored[index].sample.defect
        turn[name] = turn.get(name, -1) + 1
        keyed.append((turn[name], index))
    return [index for _, index in sorted(keyed, key=lambda pair: pair[0])]


def pair(pixels: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Image and overlay side by side, or one above the other if they are wide."""
    axis = 0 if pixels.shape[1] > 1.6 * pixels.shape[0] else 1
    shape = list(pixels.shape)
    shape[axis] = max(2, max(pixels.shape[:2]) // 50)
    return np.concatenate([pixels, np.full(shape, 255, np.uint8), drawn], axis=axis)


def framed(picture: NDArray[np.uint8], ratio: float) -> NDArray[np.uint8]:
    """The picture at the upper left of a white canvas of height / width ``ratio``, so that titles align."""
    height, width = picture.shape[:2]
    frame = np.full((max(height, round(width * ratio)), max(width, round(height / ratio)), 3), 255, np.uint8)
    frame[:height, :width] = picture
    return frame
