"""The good images that look most like an image: to lay beside it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.area import blanked
from onlygood.runtime.images.files import display, find_images
from onlygood.runtime.images.reader import DEFAULTS, load_image
from onlygood.runtime.images.remote import Place
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.frames import gray

_SIDE = 32  # px of what is compared


@dataclass(frozen=True)
class Neighbor:
    """A good image, and how far it is."""

    path: Place
    distance: float  # gray levels, root mean square


def nearest(
    detector: Detector,
    pixels: NDArray[np.uint8],
    folder: Path,
    count: int,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Neighbor]:
    """The ``count`` images of ``folder`` nearest to ``pixels`` ``(H, W, C)``, those of equal pixels left out.

    Compared are ``32 × 32`` gray levels without their mean, of the part that counts: light does not decide,
    pose and pattern do. Images that cannot be read are passed over.

    Raises:
        OnlygoodError: no image of the folder can be read, or all are the image itself.
    """
    look = partial(_distance, detector=detector, wanted=pixels, shape=_small(detector, pixels))
    paths = list(find_images([folder]))
    found = []
    with closing(map_ahead(look, paths, workers=workers)) as distances:
        for number, (path, distance) in enumerate(zip(paths, distances, strict=True), 1):
            if distance is not None:
                found.append(Neighbor(path, distance))
            if progress is not None:
                progress(number, len(paths))
    if not found:
        raise OnlygoodError(
            f"{display(folder)} holds no other image that can be read: name a folder of good ones"
        )
    return nsmallest(count, found, key=lambda neighbor: neighbor.distance)


def _distance(
    path: Place, *, detector: Detector, wanted: NDArray[np.uint8], shape: NDArray[np.float32]
) -> float | None:
    try:
        pixels = load_image(path, detector.metadata.input, DEFAULTS).pixels
    except ImageError:
        return None
    if np.array_equal(pixels, wanted):
        return None
    return float(np.sqrt(np.mean((_small(detector, pixels) - shape) ** 2)))


def _small(detector: Detector, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    plane = Image.fromarray(gray(blanked(pixels, detector.inside)))
    small = np.asarray(plane.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
    return np.asarray(small - small.mean(), np.float32)
