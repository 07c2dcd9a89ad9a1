"""Thumbnails with their heatmaps, as large and as many as a budget of bytes allows."""

import base64
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from onlygood.deploy.report.collect import Collection, Looked
from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import ReadOptions, load_image
from onlygood.runtime.images.resize import paste_box
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.rows.verdicts import Status

SIDES = (640, 512, 384, 256, 192, 128)  # pixels, longest side; the first whose pictures all fit is taken
SAMPLES = 12  # images that tell how large pictures become
QUALITY = 72

OnProgress = Callable[[int, int], None]  # pictures done, pictures wanted


@dataclass(frozen=True)
class Picture:
    """A thumbnail and its heatmap as data URLs; the heatmap covers ``box`` of the image, in shares of it."""

    image: str
    heatmap: str  # gray: 0 where the map is calm, 255 where it is at its hottest
    box: tuple[float, float, float, float]  # left, upper, right, lower

    def __len__(self) -> int:
        return len(self.image) + len(self.heatmap)


def pictures(
    found: Collection,
    spec: InputSpec,
    budget: int,
    *,
    heat: tuple[float, float],
    reader: ReadOptions,
    workers: int,
    progress: OnProgress | None = None,
) -> dict[int, Picture]:
    """Pictures by the image's number, of at most ``budget`` bytes; those that matter most come first.

    Images are read anew: the model's input may be smaller than what a person wants to see, or distorted.
    ``heat`` holds the values of heatmaps at which color begins and is full.
    """
    wanted = by_interest(found.images)
    if not wanted:
        return {}
    draw = partial(_drawn, found, spec, heat=heat, reader=reader)
    side = _side(wanted, budget, draw)
    chosen: dict[int, Picture] = {}
    left = budget
    with closing(map_ahead(lambda index: draw(side, index), wanted, workers=workers)) as drawn:
        for done, (index, picture) in enumerate(zip(wanted, drawn, strict=False), 1):
            if picture is not None:
                left -= len(picture)
                if left < 0:
                    break
                chosen[index] = picture
            if progress is not None:
                progress(done, len(wanted))
    return chosen


def by_interest(images: Sequence[Looked]) -> list[int]:
    """Numbers of the images that can be shown: anomalous and unusable ones first, then the highest scores.

    Those that somebody calls anomalous count as anomalous, also where the model missed them.
    """

    def key(index: int) -> tuple[bool, float]:
        image = images[index]
        bad = image.sample is not None and image.sample.label == 1
        flagged = image.row.status in (Status.ANOMALOUS, Status.UNUSABLE)
        return not (bad or flagged), -(image.row.score or 0.0)

    return sorted((i for i, image in enumerate(images) if image.row.score is not None), key=key)


def _side(wanted: Sequence[int], budget: int, draw: Callable[[int, int], Picture | None]) -> int:
    """The largest side at which all pictures fit, as far as a few tell; the smallest, if at none."""
    step = max(1, len(wanted) // SAMPLES)
    for side in SIDES:
        sizes = [len(picture) for index in wanted[::step] if (picture := draw(side, index)) is not None]
        if not sizes or 1.1 * np.mean(sizes) * len(wanted) <= budget:
            return side
    return SIDES[-1]


def _drawn(
    found: Collection,
    spec: InputSpec,
    side: int,
    index: int,
    *,
    heat: tuple[float, float],
    reader: ReadOptions,
) -> Picture | None:
    """The picture of an image; None if it can no longer be read."""
    row = found.images[index].row
    full_width, full_height = row.width or 1, row.height or 1
    scale = min(1.0, side / max(full_width, full_height))
    width, height = (min(max(8, round(length * scale)), 8192) for length in (full_width, full_height))
    view = InputSpec(height=height, width=width, channels=3, bit_depth=spec.bit_depth, jpeg="reduced")
    try:
        pixels = load_image(row.path, view, reader).pixels
    except ImageError:
        return None
    low, high = heat
    strength = np.clip((found.heatmaps[index] - low) / (high - low), 0, 1)
    left, upper, right, lower = paste_box(full_width, full_height, spec)
    box = (left / full_width, upper / full_height, right / full_width, lower / full_height)
    return Picture(_thumbnail(pixels), _gray(np.round(255 * strength).astype(np.uint8)), box)


def _thumbnail(pixels: NDArray[np.uint8]) -> str:
    kind = "WEBP" if features.check("webp") else "JPEG"
    return _data_url(Image.fromarray(pixels), kind, quality=QUALITY)


def _gray(values: NDArray[np.uint8]) -> str:
    return _data_url(Image.fromarray(values), "PNG", optimize=True)


def _data_url(image: Image.Image, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
