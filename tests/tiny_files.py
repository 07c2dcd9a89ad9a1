"""Files and data sets for tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from onlygood.anomaly.data.datasets import Dataset


def touch(root: Path, *names: str) -> Path:
    """Layouts are told by names alone, so the files may be empty."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def rows(dataset: Dataset) -> list[tuple[str, int, str, str | None]]:
    """Path, label, defect and mask of each sample, below the data set."""
    root = dataset.root if dataset.root.is_dir() else dataset.root.parent
    return [
        (
            s.path.relative_to(root).as_posix(),
            s.label,
            s.defect,
            s.mask and s.mask.relative_to(root).as_posix(),
        )
        for s in dataset.samples
    ]


def save_noise(path: Path, seed: int, size: tuple[int, ...] = (20, 30, 3)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return path
