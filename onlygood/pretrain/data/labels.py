"""Labelled images: folders ``<class>/<image>`` or a CSV list, with a test part that is given or split off."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from onlygood.pretrain.data.split import order_by_content
from onlygood.pretrain.data.store import ImageStore, Store
from onlygood.pretrain.data.tables import parts_of, read_rows, read_text
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import Findings, as_on_disk, display, find_images

_TEST_NAMES = ("test", "val", "valid", "validation")  # the first that is there is the test part


@dataclass(frozen=True)
class Labeled:
    """Files, each with its class, and in ``parts`` train or test; None where it is to be split."""

    root: Path
    paths: list[Path]
    labels: list[str]
    parts: list[str] | None
    description: str


@dataclass(frozen=True)
class LabeledPart:
    """Images of a store: rows ``ids`` (N,), class numbers ``labels`` (N,), SHA-256 of each file's content."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    hashes: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: NDArray[np.bool_]) -> "LabeledPart":
        """The images where the mask ``chosen`` (N,) is true."""
        hashes = [digest for digest, taken in zip(self.hashes, chosen, strict=True) if taken]
        return LabeledPart(self.ids[chosen], self.labels[chosen], hashes)

    def held_out(self, fraction: float, seed: int) -> tuple["LabeledPart", "LabeledPart"]:
        """The part without, and the held-out ``fraction`` of every class; see `split_by_content`."""
        held = split_by_content(self.labels, self.hashes, fraction, seed)
        if not held.any():
            raise OnlygoodError("no class has two training images, so none can be held out for validation")
        return self.take(~held), self.take(held)


@dataclass(frozen=True)
class LabeledSet:
    """What a probe is trained and tested on."""

    store: Store
    train: LabeledPart
    test: LabeledPart
    classes: tuple[str, ...]
    description: str
    fingerprint: str
    notes: tuple[str, ...] = ()

    def counts(self, part: LabeledPart) -> dict[str, int]:
        """Images of each class."""
        numbers = np.bincount(part.labels, minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))


def read_labeled(source: Path) -> Labeled:
    """Find the images of ``source`` and their classes.

    A folder holds ``train/<class>/…`` and ``test/<class>/…`` (or ``val``), or ``<class>/…`` alone. A CSV file
    names the columns ``path,label`` and perhaps ``split`` (train or test); paths are relative to it.

    Raises:
        OnlygoodError: no images, images without a class, or a list that cannot be read.
    """
    if source.is_file():
        return _read_csv(source)
    if not source.is_dir():
        raise OnlygoodError(f"{source}: no such folder or CSV list")
    folders = {child.name.lower(): child for child in sorted(source.iterdir()) if child.is_dir()}
    tests = [name for name in _TEST_NAMES if name in folders]
    if not tests or "train" not in folders:
        paths, labels, passed_over = _read_folder(source)
        words = f"{source}: a folder a class, not yet split{passed_over}"
        return Labeled(source, paths, labels, None, words)
    paths, labels, passed_over = _read_folder(folders["train"])
    more, their, also = _read_folder(folders[tests[0]])
    parts = ["train"] * len(paths) + ["test"] * len(more)
    words = f"{source}: train and {tests[0]} as given{passed_over}{also}"
    words += "".join(f", {name} left out" for name in tests[1:])
    return Labeled(source, paths + more, labels + their, parts, words)


def _read_folder(folder: Path) -> tuple[list[Path], list[str], str]:
    """Images, their classes, and a word on folders that onlygood itself wrote, which are no classes."""
    findings = Findings()
    paths = list(find_images([folder], findings=findings))
    if not paths:
        raise OnlygoodError(f"{folder}: no images in it")
    labels = [normalize("NFC", path.relative_to(folder).parts[0]) for path in paths]
    loose = [path for path in paths if path.parent == folder]
    if loose:
        raise OnlygoodError(
            f"{folder}: {len(loose)} images, such as {display(loose[0].name)}, lie in no class's folder; "
            "put each image into a folder named after its class"
        )
    ours = "".join(f", {display(path.name)} passed over since onlygood wrote it" for path in findings.ours)
    return paths, labels, ours


def _read_csv(path: Path) -> Labeled:
    text = read_text(path)
    rows = read_rows(path, text, ("path", "label"), "path,label[,split]")
    if not rows:
        raise OnlygoodError(f"{path}: the list is empty")
    parts = parts_of(path, rows)
    kept = [row for row, part in zip(rows, parts or ["train"] * len(rows), strict=True) if part]
    words = "not yet split" if parts is None else "train and test as given"
    if len(kept) < len(rows):
        words += f", {len(rows) - len(kept)} for validation left out"
    paths = [as_on_disk(path.parent / row.cells["path"]) for row in kept]
    labels = _same_numbers([normalize("NFC", row.cells["label"]) for row in kept])
    given = None if parts is None else [part for part in parts if part]
    return Labeled(path, paths, labels, given, f"{path}: a CSV list, {words}")


def _same_numbers(labels: list[str]) -> list[str]:
    """The labels; if all are whole numbers, 1 and 1.0 are one class."""
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return labels
    return [f"{number:.0f}" for number in numbers] if all(n.is_integer() for n in numbers) else labels


def arrange(found: Labeled, store: ImageStore, *, seed: int, test_fraction: float = 0.2) -> LabeledSet:
    """Join the classes with a store of ``found.paths``, and split where nobody has.

    The same content under two labels is left out; the same content in train and test is only noted, because
    the split is the data set's own.

    Raises:
        OnlygoodError: fewer than two classes, an empty part, or a class that is tested but not trained.
    """
    label_of = dict(zip(found.paths, found.labels, strict=True))
    labels = [label_of[path] for path in store.paths]
    meanings = defaultdict(set)
    for digest, label in zip(store.hashes, labels, strict=True):
        meanings[digest].add(label)
    clear = np.array([len(meanings[digest]) == 1 for digest in store.hashes])
    classes = tuple(sorted({label for label, use in zip(labels, clear, strict=True) if use}))
    if len(classes) < 2:
        raise OnlygoodError(f"{found.root}: {len(classes)} class(es); a probe tells two or more apart")
    number = {name: index for index, name in enumerate(classes)}
    ids = np.flatnonzero(clear)
    whole = LabeledPart(ids, np.array([number[labels[i]] for i in ids]), [store.hashes[i] for i in ids])
    description = found.description
    if found.parts is None:
        tested = split_by_content(whole.labels, whole.hashes, test_fraction, seed)
        description += f"; {test_fraction:g} of each class to test, by content, seed {seed}"
    else:
        part_of = dict(zip(found.paths, found.parts, strict=True))
        tested = np.array([part_of[store.paths[i]] == "test" for i in ids])
    train, test = whole.take(~tested), whole.take(tested)
    for name, part in (("training", train), ("test", test)):
        if not len(part):
            raise OnlygoodError(f"{found.root}: no {name} images can be read")
    unknown = [classes[label] for label in sorted({*test.labels} - {*train.labels})]
    if unknown:
        raise OnlygoodError(f"{found.root}: in test but not in train: class {', '.join(unknown)}")
    return LabeledSet(
        store,
        train,
        test,
        classes,
        description,
        _fingerprint(train, test, classes),
        _notes(clear, train, test),
    )


def split_by_content(
    labels: NDArray[np.int64], hashes: Sequence[str], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Mask (N,) of about ``fraction`` of each class, at least one content and never all of them.

    Which ones depends on the contents and the seed alone, not on names or order; equal files stay together.
    """
    contents: dict[int, set[str]] = defaultdict(set)
    for label, digest in zip(labels.tolist(), hashes, strict=True):
        contents[label].add(digest)
    chosen = set()
    for label, found in contents.items():
        ranked = order_by_content(found, seed)
        count = min(len(ranked) - 1, max(1, round(fraction * len(ranked))))
        chosen |= {(label, digest) for digest in ranked[:count]}
    return np.array([pair in chosen for pair in zip(labels.tolist(), hashes, strict=True)], dtype=bool)


def _fingerprint(train: LabeledPart, test: LabeledPart, classes: tuple[str, ...]) -> str:
    def lines(name: str, part: LabeledPart) -> Iterable[str]:
        return (f"{h} {classes[y]} {name}" for h, y in zip(part.hashes, part.labels, strict=True))

    everything = "\n".join(sorted([*lines("train", train), *lines("test", test)]))
    return hashlib.sha256(everything.encode("utf-8", "surrogateescape")).hexdigest()


def _notes(clear: NDArray[np.bool_], train: LabeledPart, test: LabeledPart) -> tuple[str, ...]:
    notes = []
    if count := int((~clear).sum()):
        notes.append(f"{count} images left out: the same content has several labels")
    seen = Counter(train.hashes)
    if count := sum(digest in seen for digest in test.hashes):
        notes.append(f"{count} test images are in train too: accuracies are too high")
    return tuple(notes)
