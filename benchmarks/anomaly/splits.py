"""Train and test lists of the data sets, after the protocols that docs/benchmarks.md states."""

import csv
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anomaly.one_class_methods import DEVELOPMENT

SPLITS = {
    **DEVELOPMENT,  # the class that is good
    "magnetic-tile": ("random", "grouped"),
    "kolektor": ("grouped",),
    "bottle": ("given",),
    "toothbrush": ("given",),
    "casting": ("random",),
    "brick": ("random",),
    "plates": ("given",),
}
TRAIN_SHARE = 0.8
KOLEKTOR_TRAIN_ITEMS = 35
ONE_CLASS = (3000, 500, 1000)  # images to train, good ones and others to test


@dataclass(frozen=True)
class Item:
    """One image; ``group`` names what was photographed, where that is known."""

    path: Path
    defect: str = "good"
    mask: Path | None = None
    group: str = ""


Lists = tuple[list[Item], list[Item]]


def make_split(root: Path, dataset: str, split: str, seed: int) -> Lists:
    """Train and test items, sorted by path; training images are good, and no image is in both."""
    if split not in SPLITS[dataset]:
        sys.exit(f"{dataset} has the split {' or '.join(SPLITS[dataset])}, not {split}")
    makers = {
        "magnetic-tile": _magnetic_tile,
        "kolektor": _kolektor,
        "casting": _folders,
        "brick": _folders,
        **dict.fromkeys(DEVELOPMENT, _one_class),
    }
    train, test = makers.get(dataset, _mvtec)(root, split, random.Random(seed))
    if not train or not any(item.defect != "good" for item in test):
        sys.exit(f"{root}: this does not look like {dataset}")
    if split == "grouped":
        held_out = {item.group for item in test if item.defect == "good"}
        if held_out & {item.group for item in train}:
            raise RuntimeError("good images of one part are on both sides of the split")
    if {item.path for item in train} & {item.path for item in test}:
        raise RuntimeError("an image is on both sides of the split")
    key = lambda item: item.path  # noqa: E731
    return sorted(train, key=key), sorted(test, key=key)


def write_lists(folder: Path, train: Sequence[Item], test: Sequence[Item]) -> None:
    """``train.csv`` and ``test.csv`` for the command line, with the group as a column that it passes over."""
    for name, items in (("train.csv", train), ("test.csv", test)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "defect", "mask", "group"])
            for item in items:
                good = item.defect == "good"
                defect, mask = ("", "") if good else (item.defect, str(item.mask or ""))
                writer.writerow([str(item.path), "good" if good else "bad", defect, mask, item.group])


def _find(root: Path, pattern: str) -> Path:
    """The folder of the data set at or below ``root``, told by a file or folder in it."""
    found = sorted(root.rglob(pattern), key=lambda path: len(path.parts))
    if not found:
        sys.exit(f"{root}: no {pattern} in it")
    return found[0].parent


def _magnetic_tile(root: Path, split: str, rng: random.Random) -> Lists:
    """80 % of the good images, or of the tiles that they show, to train; every defective image to test."""
    home = _find(root, "tiles.csv")
    good, bad = [], []
    with (home / "tiles.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path, label = home / row["path"], row["label"]
            if label == "normal":
                good.append(Item(path, group=row["tile"]))
            else:
                mask = home / "masks" / label / f"{path.stem}.png"
                bad.append(Item(path, label, mask if mask.is_file() else None, row["tile"]))
    names = sorted({str(item.path) if split == "random" else item.group for item in good})
    rng.shuffle(names)
    chosen = set(names[: round(TRAIN_SHARE * len(names))])
    train = [item for item in good if (str(item.path) if split == "random" else item.group) in chosen]
    return train, [item for item in good if item not in train] + bad


def _kolektor(root: Path, split: str, rng: random.Random) -> Lists:
    """Good images of 35 items to train; their defective images and all images of the other items to test."""
    home = _find(root, "masks/defective").parent
    items = []
    for label in ("good", "defective"):
        for path in sorted((home / label).iterdir()):
            name = re.match(r"kos\d+", path.name)
            if name is None:
                sys.exit(f"{path}: the name does not begin with the item, kosNN")
            mask = home / "masks" / "defective" / f"{path.stem}.png"
            defect = "good" if label == "good" else "crack"
            items.append(Item(path, defect, mask if label == "defective" else None, name[0]))
    names = sorted({item.group for item in items})
    rng.shuffle(names)
    chosen = set(names[:KOLEKTOR_TRAIN_ITEMS])
    train = [item for item in items if item.defect == "good" and item.group in chosen]
    return train, [item for item in items if item not in train]


def _folders(root: Path, split: str, rng: random.Random) -> Lists:
    """80 % of the images in good/ to train; the others and those of the other folders to test."""
    home = _find(root, "good")
    items = [
        Item(path, folder.name)
        for folder in sorted(home.iterdir())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
    ]
    good = [item for item in items if item.defect == "good"]
    rng.shuffle(good)
    train = good[: round(TRAIN_SHARE * len(good))]
    return train, [item for item in items if item not in train]


def _one_class(root: Path, split: str, rng: random.Random) -> Lists:
    """Some training images of the class ``split``; of the test images some of it and some of the others."""
    train, test = root / "train" / split, root / "test"
    good = [Item(path) for path in sorted(train.iterdir())]
    same = [Item(path) for path in sorted((test / split).iterdir())]
    others = [
        Item(path, folder.name)
        for folder in sorted(test.iterdir())
        if folder.name != split
        for path in sorted(folder.iterdir())
    ]
    some = [rng.sample(items, count) for items, count in zip((good, same, others), ONE_CLASS, strict=True)]
    return some[0], some[1] + some[2]


def _mvtec(root: Path, split: str, rng: random.Random) -> Lists:
    """As given, in the layout of MVTec AD."""
    home = _find(root, "ground_truth")
    train = [Item(path) for path in (home / "train" / "good").iterdir()]
    test = []
    for folder in sorted((home / "test").iterdir()):
        for path in folder.iterdir():
            mask = home / "ground_truth" / folder.name / f"{path.stem}_mask.png"
            test.append(Item(path, folder.name, mask if folder.name != "good" else None))
    return train, test
