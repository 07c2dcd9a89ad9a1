"""The demo's images on disk, in the MVTec layout that public inspection data sets use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlygood.deploy.demo.defects import KINDS, spoil
from onlygood.deploy.demo.plate import expose, make_plate, shade


@dataclass(frozen=True)
class Counts:
    """How many images of which sort."""

    train: int = 240
    test_good: int = 60
    defects: int = 20  # of each kind

    @classmethod
    def for_training_images(cls, train: int) -> Self:
        """With a test set in proportion: 240 training images give 60 good ones and 20 of each defect."""
        return cls(train, max(1, train // 4), max(1, train // 12))

    @property
    def tested(self) -> int:
        """Images in the test set."""
        return self.test_good + len(KINDS) * self.defects


def mask_path(image: Path) -> Path:
    """The mask of ``test/<defect>/<stem>.png``: ``ground_truth/<defect>/<stem>_mask.png``."""
    root = image.parents[2]
    return root / "ground_truth" / image.parent.name / f"{image.stem}_mask.png"


def image_paths(root: Path, counts: Counts) -> list[Path]:
    """Every image that `write` renders for ``counts``, in that order, without the masks."""
    folders = [("train/good", counts.train), ("test/good", counts.test_good)]
    folders += [(f"test/{kind}", counts.defects) for kind in KINDS]
    return [root / folder / f"{index:03}.png" for folder, count in folders for index in range(count)]


def write(root: Path, seed: int, counts: Counts) -> None:
    """Render all images and masks under ``root``, 8-bit gray PNG; the same seed gives the same files."""
    rng = np.random.default_rng(seed)
    for path in image_paths(root, counts):
        plate = make_plate(rng)
        kind = path.parent.name
        if kind in KINDS:
            picture, mask = spoil(rng, plate, kind)
            _save(mask_path(path), mask.astype(np.uint8) * np.uint8(255))
        else:
            picture = shade(plate)
        _save(path, expose(rng, picture))


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)
