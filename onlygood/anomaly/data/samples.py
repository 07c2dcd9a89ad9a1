"""Images with their labels and masks, and the parts of a data set."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from onlygood.anomaly.data.masks import read_mask
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.files import display

Part = Literal["all", "train", "test"]


@dataclass(frozen=True)
class Sample:
    """One image: label 0 is good, 1 anomalous; defect is ``"good"`` or the defect type.

    ``group`` names the physical part that the image shows, if a list gives it.
    """

    path: Path
    label: int
    defect: str = "good"
    mask: Path | None = None
    group: str = ""


@dataclass(frozen=True)
class Dataset:
    """The samples of one part, sorted by path, and a description of what was found.

    Where not ``labeled``, nothing says which images are good: all are only taken to be.
    """

    samples: tuple[Sample, ...]
    layout: str
    description: str
    root: Path
    labeled: bool = True


@dataclass(frozen=True)
class Found:
    """All samples of a folder or list, by part; if the data are not divided, both parts are the same list."""

    root: Path
    layout: str
    words: str
    train: list[Sample]
    test: list[Sample]
    notes: tuple[str, ...] = ()
    labeled: bool = True  # by names, a list or masks

    def dataset(self, part: Part) -> Dataset:
        """The samples of ``part``.

        Raises:
            OnlygoodError: there are none.
        """
        divided = self.train is not self.test
        if part == "train":
            chosen = [sample for sample in self.train if sample.label == 0]
            words = f"{self.words}, the good ones to train on"
        elif part == "test" or not divided:
            chosen = self.test
            words = f"{self.words}, the test part" if divided and part == "test" else self.words
        else:
            chosen, words = self.train + self.test, self.words
        if not chosen:
            notes = "".join(f"; {note}" for note in self.notes)
            raise OnlygoodError(
                f"{display(self.root)}: {self.words} holds no {'good ' * (part == 'train')}images to {part} "
                f"on{notes}"
            )
        chosen = sorted(chosen, key=lambda sample: sample.path)
        text = "; ".join([f"{words}: {_count(chosen)}", *self.notes])
        return Dataset(tuple(chosen), self.layout, text, self.root, self.labeled)


def some(names: Iterable[str], most: int = 6) -> str:
    """The first few names, and how many more there are."""
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def judged_by_masks(
    samples: Sequence[Sample], masks: dict[Path, list[Path]], *, named: bool
) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples with their masks, and notes; a "good" one whose mask marks something becomes anomalous.

    Only masks of good samples are read. ``named``: the good samples are called good by a name, so they stay
    good if their mask cannot be read. If not ``named``, they are left out, since nothing else says whether
    they are good.
    """
    found: list[Sample] = []
    changed, doubtful, lost, more = 0, [], [], 0
    for sample in samples:
        files = masks.get(sample.path, [])
        more += len(files) > 1
        if not files or sample.label:
            found.append(replace(sample, mask=files[0] if files else None))
            continue
        shows, reasons = _first_that_marks(files)
        doubtful += reasons
        if shows is not None:
            changed += 1
            found.append(replace(sample, label=1, defect="anomalous", mask=shows))
        elif reasons and not named:
            lost.append(sample.path)
        else:
            found.append(sample)
    notes = []
    if changed:
        notes.append(
            f"{changed} of {len(samples)} images have a mask that is not empty: taken as anomalous"
            + ", though they are called good" * named
            + " (if masks mark something else than defects, move them elsewhere)" * (changed == len(samples))
        )
    if doubtful:
        notes.append(f"{len(doubtful)} masks of good images are not used, such as {doubtful[0]}")
    if lost:
        notes.append(
            f"{len(lost)} images are left out, for only these masks could tell whether they are good"
        )
    if more:
        notes.append(f"{more} images have several masks: the first that marks something is used")
    return found, tuple(notes)


def _first_that_marks(files: Sequence[Path]) -> tuple[Path | None, list[str]]:
    """The first mask that is not empty, and what is wrong with files that are not masks."""
    reasons = []
    for file in files:
        try:
            mask = read_mask(file)
        except ImageError as error:
            reasons.append(str(error))
            continue
        if mask.photo:
            reasons.append(f"{display(file)}: {mask.question}")
        elif mask.defect.any():
            return file, []
    return None, reasons


def _count(samples: Sequence[Sample]) -> str:
    """``20 good and 63 anomalous (broken 42, dirty 21), 63 of them with masks``."""
    defects = Counter(sample.defect for sample in samples if sample.label)
    good, bad = sum(sample.label == 0 for sample in samples), sum(defects.values())
    words = f"{good} good"
    if bad:
        masks = sum(sample.mask is not None for sample in samples)
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(defects.items()))
        words += f" and {bad} anomalous ({kinds}), {masks or 'none'} of them with masks"
    return words
