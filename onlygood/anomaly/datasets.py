"""What lies in a folder or a list file: which images are good, which are not, where their masks are.

Five layouts are told apart by their names alone, no image is opened:

========== ==========================================================================================
flat       images directly in the folder: all are taken as good
good-bad   one folder that means good and one that does not
labelled   a folder that means good and one folder per defect type
mvtec      ``train/good``, ``test/good``, ``test/DEFECT``, ``ground_truth/DEFECT/NAME_mask.png``
list       a text file with one path a line (all good), or CSV with the header path,label[,defect][,mask]
========== ==========================================================================================

Masks are looked for in a tree beside the classes (``masks/DEFECT/NAME.png``, ``ground_truth/...``) and beside
the image (``NAME_mask.png``); they are never taken as images.
"""

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.files import IMAGE_SUFFIXES, find_images

Part = Literal["all", "train", "test"]

# What folder names and labels mean, compared in lower case without spaces, dashes, underscores and dots.
_NAMES = {
    "good": r"good|ok(ay)?|normal|free|clean|healthy|intact|undamaged|flawless|pass(ed)?|gut|io"
    r"|(defect|fault|anomaly)free|non?defect(s|ive)?|nonanomalous",
    "bad": r"bad|ko|ng|nok|nio|not?ok|not?good|anomal(y|ies|ous)|abnormal|defect(s|ive)?|faulty|damaged"
    r"|fail(ed)?|reject(ed)?|schlecht",
    "mask": r"masks?|groundtruth|gt",
}


@dataclass(frozen=True)
class Sample:
    """One image: label 0 is good, 1 anomalous; defect is ``"good"`` or the defect type.

    ``group`` names the part that it shows, where a list says so.
    """

    path: Path
    label: int
    defect: str = "good"
    mask: Path | None = None
    group: str = ""


@dataclass(frozen=True)
class Dataset:
    """The samples of one part, sorted by path, and in words what was found."""

    samples: tuple[Sample, ...]
    layout: str
    description: str
    root: Path


def discover(path: Path | str, part: Part = "all") -> Dataset:
    """Find out what ``path`` holds.

    ``train``: the good images to learn from (of an MVTec-style tree those of ``train/`` only). ``test``: the
    images to judge (of an MVTec-style tree ``test/``; of the other layouts everything, so leave out what was
    learned from).

    Raises:
        OnlygoodError: nothing there, nothing to tell good from bad by, or nothing in the asked part.
    """
    root = Path(path)
    if part not in get_args(Part):
        raise OnlygoodError(f"part must be one of {', '.join(get_args(Part))}, not {part!r}")
    if root.is_file():
        if root.suffix.lower() in IMAGE_SUFFIXES:
            raise OnlygoodError(f"{root} is one image; give the folder of images or a list file")
        found = _from_list(root)
    elif root.is_dir():
        found = _from_folder(root)
    else:
        raise OnlygoodError(f"{root}: no such folder or list file")
    return found.dataset(part)


def split_good(hashes: Sequence[str], counts: Sequence[int], seed: int) -> list[np.ndarray]:
    """Disjoint id arrays, sorted, of about ``counts`` images each; what is over stays unused.

    ``hashes`` holds one string per image, its content hash (or any name of a group that must stay together,
    such as a part number). Images of equal hash never come into different arrays. Who goes where is decided
    by the content alone: groups are taken in the order of sha256(seed, hash), so neither the names of files
    nor their order matter.

    A group goes into the first array that still has room for all of it. Groups for which none has room then
    go to the array with the most room left. So counts are met exactly if every image is unique, and
    otherwise missed by less than the size of the largest group.

    Raises:
        OnlygoodError: fewer images than asked for, or groups so large that an array stays empty.
    """
    if any(count < 1 for count in counts) or not counts:
        raise OnlygoodError(f"a split needs parts of at least one image, not {list(counts)}")
    if sum(counts) > len(hashes):
        raise OnlygoodError(
            f"{len(hashes)} good images are too few to split into {' + '.join(map(str, counts))}"
        )
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(hashes):
        groups[name].append(index)
    order = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    room = list(counts)
    parts: list[list[int]] = [[] for _ in counts]
    too_large: list[list[int]] = []
    for ids in (groups[name] for name in order):
        fitting = next((part for part, free in enumerate(room) if free >= len(ids)), None)
        if fitting is None:
            too_large.append(ids)
        else:
            parts[fitting] += ids
            room[fitting] -= len(ids)
    for ids in too_large:
        most = max(range(len(room)), key=room.__getitem__)
        if room[most] > 0:
            parts[most] += ids
            room[most] -= len(ids)
    if not all(parts):
        raise OnlygoodError(
            f"the {len(hashes)} good images are only {len(groups)} different ones (the others are copies): "
            f"too few to split into {len(parts)} parts; add different images"
        )
    return [np.array(sorted(ids), dtype=np.int64) for ids in parts]


def meaning(name: str) -> str:
    """``"good"``, ``"bad"`` or ``"mask"`` if a folder or label of this name means that, else ``""``."""
    return next((kind for kind, names in _NAMES.items() if re.fullmatch(names, _plain(name))), "")


@dataclass(frozen=True)
class _Found:
    """Everything in a tree before a part is chosen; undivided trees have the same list twice."""

    root: Path
    layout: str
    words: str
    train: list[Sample]
    test: list[Sample]
    notes: tuple[str, ...] = ()

    def dataset(self, part: Part) -> Dataset:
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
            raise OnlygoodError(
                f"{self.root}: {self.words} holds no {'good ' * (part == 'train')}images to {part} on"
            )
        chosen = sorted(chosen, key=lambda sample: sample.path)
        text = "; ".join([f"{words}: {_count(chosen)}", *self.notes])
        return Dataset(tuple(chosen), self.layout, text, self.root)


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


def _plain(name: str) -> str:
    """The name as it is compared: lower case, no spaces, dashes, underscores and dots."""
    return "".join(character for character in name.lower() if character not in " -_.")


# --- folders ------------------------------------------------------------------------------------------------


def _from_folder(root: Path) -> _Found:
    images, beside = _images(root)
    if not images:
        raise OnlygoodError(f"{root}: no images in it; known endings are {' '.join(sorted(IMAGE_SUFFIXES))}")
    groups: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        parts = image.relative_to(root).parts
        groups[parts[0] if len(parts) > 1 else ""].append(image)
    if list(groups) == [""]:
        return _both(root, "flat", "a flat folder, all taken as good", [Sample(image, 0) for image in images])
    by_name = {_plain(name): name for name in groups}
    kinds = {meaning(name) for name in groups}
    if "train" in by_name and "test" in by_name:
        return _mvtec(root, groups, by_name["train"], by_name["test"], beside)
    if len(groups) == 1 and kinds == {""}:
        return _from_folder(root / next(iter(groups)))  # a folder around the data set, as archives have
    only_bad = "" not in groups and (kinds == {"bad"} or _plain(root.name) == "test")
    if "good" not in kinds and not only_bad:
        raise _ambiguous(root, groups)
    direct = groups.pop("", [])
    samples, notes = _labelled(root, root, [image for name in groups for image in groups[name]], beside)
    if direct:
        notes += (f"{len(direct)} images directly in {root} belong to no class and are left out",)
    kind = "good-bad" if len({sample.defect for sample in samples if sample.label}) <= 1 else "labelled"
    words = "good and bad folders" if kind == "good-bad" else "a folder per defect type"
    return _both(root, kind, words, samples, notes)


def _mvtec(
    root: Path, groups: dict[str, list[Path]], train: str, test: str, beside: dict[Path, Path]
) -> _Found:
    top = root / train
    below = {image.relative_to(top).parts[0] for image in groups[train] if image.parent != top}
    if below and not any(meaning(name) == "good" for name in below):
        raise OnlygoodError(
            f"{top}: none of its folders ({_some(below)}) means good; rename the one of good images to good"
        )
    loose = [image for image in groups[train] if image.parent == top]
    learn, _ = _labelled(root, top, [image for image in groups[train] if image.parent != top], beside)
    if any(image.parent == root / test for image in groups[test]):
        raise OnlygoodError(
            f"{root / test}: images without a class; put them into good/ and one folder per defect type"
        )
    judge, notes = _labelled(root, root / test, groups[test], beside)
    other = sorted(name or "images directly in it" for name in groups if name not in (train, test))
    if other:
        notes += (f"left out: {_some(other)}",)
    learn += [Sample(image, 0) for image in loose]
    return _Found(root, "mvtec", "an MVTec-style tree (train/ and test/)", learn, judge, notes)


def _both(root: Path, layout: str, words: str, samples: list[Sample], notes: tuple[str, ...] = ()) -> _Found:
    return _Found(root, layout, words, samples, samples, notes)


def _ambiguous(root: Path, groups: dict[str, list[Path]]) -> OnlygoodError:
    inner = {
        name
        for name in groups
        for image in groups[name]
        if {"train", "test"} & {*image.relative_to(root).parts[1:-1]}
    }
    if inner:
        first = sorted(inner)[0]
        return OnlygoodError(
            f"{root} holds several data sets ({_some(inner)}); give one of them, such as {root / first}"
        )
    found = _some(f"{name or 'images directly in it'} ({len(groups[name])})" for name in groups)
    return OnlygoodError(
        f"{root}: cannot tell which images are good: found {found}, and no folder whose name means good. "
        "Rename the folder of good images to 'good' (or put all good folders into one of that name), or give "
        "the folder of good images itself, or a CSV file with the header path,label"
    )


def _some(names: Iterable[str], most: int = 6) -> str:
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _images(root: Path) -> tuple[list[Path], dict[Path, Path]]:
    """Images below ``root`` without mask trees, and the masks that lie beside their images."""
    found = [
        image
        for image in find_images([root])
        if image != root  # what a folder yields that may not be listed
        and not any(meaning(part) == "mask" for part in image.relative_to(root).parts[:-1])
    ]
    by_stem = {(image.parent, image.stem): image for image in found if not image.stem.endswith("_mask")}
    beside = {
        by_stem[image.parent, image.stem.removesuffix("_mask")]: image
        for image in found
        if image.stem.endswith("_mask") and (image.parent, image.stem.removesuffix("_mask")) in by_stem
    }
    masks = set(beside.values())
    return [image for image in found if image not in masks], beside


def _labelled(
    root: Path, top: Path, images: Sequence[Path], beside: dict[Path, Path]
) -> tuple[list[Sample], tuple[str, ...]]:
    """Labels by the folder under ``top``, masks by the trees of ``root``; a note counts idle masks."""
    homes = [root] if _plain(root.name) not in ("train", "test") else [root, root.parent]
    masks = _mask_index(homes)
    classes = {image: image.relative_to(top).parts[:-1] for image in images}
    bad_stems = Counter(image.stem for image, parents in classes.items() if meaning(parents[0]) != "good")
    samples, used = [], set()
    for image, parents in classes.items():
        if meaning(parents[0]) == "good":
            samples.append(Sample(image, 0))
            continue
        finer = meaning(parents[0]) == "bad" and len(parents) > 1  # bad/scratch/1.png is a scratch
        mask = beside.get(image) or masks.get((parents, image.stem))
        if mask is None and bad_stems[image.stem] == 1:  # masks/NAME.png without folders
            mask = masks.get(((), image.stem))
        used.add(mask)
        samples.append(Sample(image, 1, parents[1] if finer else parents[0], mask))
    idle = len(set(masks.values()) - used)
    return samples, (f"{idle} masks belong to none of these images",) if idle and used else ()


def _mask_index(homes: Sequence[Path]) -> dict[tuple[tuple[str, ...], str], Path]:
    """Masks of the trees that lie in ``homes``, by (folders, stem of the image)."""
    trees = [child for home in homes for child in sorted(home.iterdir()) if meaning(child.name) == "mask"]
    index: dict[tuple[tuple[str, ...], str], Path] = {}
    for tree in filter(Path.is_dir, trees):
        for mask in find_images([tree]):
            index.setdefault((mask.relative_to(tree).parts[:-1], mask.stem.removesuffix("_mask")), mask)
    return index


# --- list files ---------------------------------------------------------------------------------------------


def _from_list(path: Path) -> _Found:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise OnlygoodError(f"{path}: {error.strerror}") from None
    header = text.split("\n", 1)[0].strip()
    delimiter = ";" if header.count(";") > header.count(",") else "\t" if "\t" in header else ","
    columns = [column.strip().strip('"').lower() for column in header.split(delimiter)]
    if "\0" in text:
        raise OnlygoodError(f"{path} is not a text file; give a folder of images or a list file")
    if path.suffix.lower() in (".csv", ".tsv") or {"path", "label"} <= set(columns):
        samples, words = _read_csv(path, text, columns, delimiter), "a CSV list"
    else:
        samples = [Sample(path.parent / line, 0) for line in text.splitlines() if line.strip()]
        words = "a list of paths, all taken as good"
    if not samples:
        raise OnlygoodError(f"{path}: the list is empty")
    missing = [sample.path for sample in samples if not sample.path.is_file()]
    if len(missing) == len(samples):
        raise OnlygoodError(
            f"{path}: none of its {len(samples)} files exists, such as {missing[0]}; "
            f"paths are relative to {path.parent}"
        )
    notes = (f"{len(missing)} of them do not exist, such as {missing[0]}",) if missing else ()
    return _both(path, "list", words, samples, notes)


def _read_csv(path: Path, text: str, columns: list[str], delimiter: str) -> list[Sample]:
    if not {"path", "label"} <= set(columns):
        raise OnlygoodError(
            f"{path}: the first line must name the columns path,label[,defect][,mask][,group]; "
            f"it reads {columns}"
        )
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    next(rows)
    samples = []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            raise OnlygoodError(
                f"{path}, line {rows.line_num}: {len(row)} columns where the header names {len(columns)}"
            )
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=True)}
        where = f"{path}, line {rows.line_num}"
        if not cells["path"] or not cells["label"]:
            raise OnlygoodError(f"{where}: path and label must not be empty")
        label, defect = _label(cells["label"], cells.get("defect", ""), where)
        mask = path.parent / cells["mask"] if label and cells.get("mask") else None
        samples.append(Sample(path.parent / cells["path"], label, defect, mask, cells.get("group", "")))
    return samples


def _label(label: str, defect: str, where: str) -> tuple[int, str]:
    """Label and defect of one row; a label that is neither 0, 1, good nor bad is a defect name."""
    good = label == "0" or meaning(label) == "good"
    if good and defect and meaning(defect) != "good":
        raise OnlygoodError(f"{where}: the label {label!r} means good, but the defect is {defect!r}")
    if good:
        return 0, "good"
    if meaning(defect) == "good":
        raise OnlygoodError(f"{where}: the label {label!r} means anomalous, but the defect is {defect!r}")
    plain = label == "1" or meaning(label) == "bad"
    return 1, defect or ("anomalous" if plain else label)
