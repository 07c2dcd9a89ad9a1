"""Pictures to measure with where none are given: as hard to decode as a camera's, the same each time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 1280, 960
_QUALITY = 90  # of the JPEGs, as cameras write them
_GRAIN = 4.0  # gray levels of noise, standard deviation


def write_scenes(folder: Path, count: int = 8) -> list[Path]:
    """Write ``count`` JPEGs of smooth shapes, edges and grain, and return their paths."""
    paths = []
    for number in range(count):
        path = folder / f"scene-{number}.jpg"
        Image.fromarray(scene(number)).save(path, "JPEG", quality=_QUALITY)
        paths.append(path)
    return paths


def scene(number: int) -> NDArray[np.uint8]:
    """Picture ``number``, ``(HEIGHT, WIDTH, 3)``."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(40, 200, (12, 16, 3), dtype=np.uint8)
    shapes = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(shapes, dtype=np.float32)
    pixels += np.where(np.arange(WIDTH) % 64 < 6, 30, 0)[None, :, None]  # edges
    pixels += rng.normal(0, _GRAIN, pixels.shape).astype(np.float32)
    made: NDArray[np.uint8] = pixels.clip(0, 255).astype(np.uint8)
    return made
