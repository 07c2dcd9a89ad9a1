"""Which images are trained on and which are held out; a resumed training keeps its choice."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.datasets import split_good
from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.plan import FEWEST, plan_split
from onlygood.anomaly.recipe import Recipe
from onlygood.pretrain.data.store import ImageStore
from onlygood.pretrain.training.checkpoint import FILE_NAME
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.model.calibration import minimum_n, rank, smallest_alpha

SPLIT_FILE = "split.json"

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Images of a store to train and to calibrate on, and the false-alarm rate that they allow."""

    train: Ids
    calibration: Ids
    rate: float
    name_of: dict[
        int, str
    ]  # group or content hash of each image; all images of one name lie on the same side
    grouped: bool = False  # whether parts are named: then the promise is for new parts

    def sides(self) -> dict[int, str]:
        """``train`` or ``calibration`` for each image that is used."""
        return {int(i): side for side in ("train", "calibration") for i in getattr(self, side)}

    def groups(self) -> list[int] | None:
        """The number of the part that each image to calibrate on shows; None if no part is named."""
        if not self.grouped:
            return None
        names = [self.name_of[i] for i in self.calibration.tolist()]
        return np.unique(names, return_inverse=True)[1].tolist()  # type: ignore[no-any-return]


def choose_parts(
    recipe: Recipe,
    good: Dataset,
    store: ImageStore,
    work: Path,
    *,
    rate: float | None,
    resume: bool,
    say: Callable[[str], None],
) -> Parts:
    """Split the good images as `plan_split` says, and keep the split in ``work``.

    Copies count once, and groups stay together: where there are any, the split counts them, not images. The
    number of images that are held out depends on the rate. A resumed training keeps the images with which it
    began, and another rate only moves the threshold.

    Raises:
        OnlygoodError: there are too few images for the rate, or the resumed training holds out too few.
    """
    unique = np.unique(store.hashes, return_index=True)[1]
    if copies := len(store) - len(unique):
        say(f"{copies} copies of other images (equal pixels), such as {store.duplicates[0][1]}, are left out")
    groups = {sample.path: sample.group for sample in good.samples}
    names = [groups[store.paths[i]] or store.hashes[i] for i in unique]
    name_of = dict(zip(unique.tolist(), names, strict=True))
    grouped = any(groups.values())
    wish = rate if rate is not None else recipe.calibration.max_false_alarms
    if resume and (work / FILE_NAME).exists():
        id_of = {store.hashes[i]: int(i) for i in unique}
        if earlier := _earlier(work / SPLIT_FILE, id_of, name_of):
            train, calibration, began = earlier
            kept = Parts(train, calibration, began if wish is None else wish, name_of, grouped)
            _check_rate(kept, began, work)
            say(
                f"as when the training began, {len(train)} images to learn from and {len(calibration)} held "
                f"out, now to calibrate at {kept.rate:.3g} false alarms"
            )
            return kept
    different = sorted(set(names))
    split = plan_split(recipe, len(unique), rate, len(different) if grouped else None)
    say(split.words)
    sides = split_good(different, [split.train, split.calibration], recipe.training.seed)
    number_of = {name: number for number, name in enumerate(different)}
    numbers = np.array([number_of[name] for name in names])
    train, calibration = (np.sort(unique[np.isin(numbers, side)]) for side in sides)
    if len(train) < FEWEST:
        raise OnlygoodError(
            f"the {split.train} parts to learn from have only {len(train)} images, and {FEWEST} are the "
            "least: add images"
        )
    if not (work / FILE_NAME).exists():
        parts = {"train": train, "calibration": calibration}
        hashes = {part: [store.hashes[i] for i in ids] for part, ids in parts.items()}
        text = json.dumps({"rate": split.rate, **hashes}, indent=1, allow_nan=False)
        work.mkdir(parents=True, exist_ok=True)
        write_atomically(work / SPLIT_FILE, text.encode())
    return Parts(train, calibration, split.rate, name_of, grouped)


def _earlier(file: Path, id_of: dict[str, int], name_of: dict[int, str]) -> tuple[Ids, Ids, float] | None:
    """The split and rate with which a training began.

    None if they cannot be read, or if parts that were named since lie on both sides; then the checkpoint says
    why.
    """
    try:
        kept = json.loads(file.read_text("utf-8"))
        train, calibration = (
            np.sort(np.array([id_of[name] for name in kept[part]], dtype=np.int64))
            for part in ("train", "calibration")
        )
        began = float(kept["rate"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if {name_of[i] for i in train.tolist()} & {name_of[i] for i in calibration.tolist()}:
        return None
    return train, calibration, began


def _check_rate(parts: Parts, began: float, work: Path) -> None:
    """Check that what a training holds out since it ``began`` is enough for the rate.

    Raises:
        OnlygoodError: it is not.
    """
    groups, unit = parts.groups(), "parts" if parts.grouped else "images"
    held_out = len(parts.calibration) if groups is None else len(set(groups))
    if rank(held_out, parts.rate) == 0:
        raise OnlygoodError(
            f"--max-false-alarms {parts.rate:g} needs {minimum_n(parts.rate)} {unit} held out, and the "
            f"training to be resumed began at {began:.3g} and holds out {held_out}: resume it without that "
            f"option or at "
            f"{smallest_alpha(held_out) + 0.0005:.3f} or more, or start afresh without {display(work)}"
        )
