"""List files: one path on each line, all good, or CSV ``path,label[,defect][,mask][,group][,split]``."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

from onlygood.anomaly.data.mask_files import pair
from onlygood.anomaly.data.names import composed, meaning, plain
from onlygood.anomaly.data.samples import Found, Sample, judged_by_masks
from onlygood.pretrain.data.tables import TableRow, columns, counted, lines, parts_of, read_rows, read_text
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import as_on_disk, display

_NOTHING = ("", "-", "none", "nan", "null", "na", "n/a")  # as programs write an empty cell
_UNDERSTOOD = "0, 0.0, False, good, OK, normal and the like, 1, 1.0, True, bad, NG, defective and the like"


@dataclass(frozen=True)
class _Listed:
    """The content of a list, in its order."""

    words: str
    samples: list[Sample]
    masks: dict[Path, list[Path]]
    parts: list[str] | None  # "train", "test" or "" (left out) for each image
    named: bool  # whether the list itself says which images are good


def from_list(path: Path) -> Found:
    """The images that a list names; paths are relative to its folder.

    Masks among them are recognized by their names, as in folders; a column ``mask`` names more.

    Raises:
        OnlygoodError: not a list, unknown labels or splits, or none of the files exists.
    """
    text = read_text(path)
    is_csv = path.suffix.lower() in (".csv", ".tsv") or {"path", "label"} <= set(columns(text))
    listed = _table(path, text) if is_csv else _paths(path, text)
    if not listed.samples:
        raise OnlygoodError(f"{display(path)}: the list is empty")
    missing = [sample.path for sample in listed.samples if not sample.path.is_file()]
    if len(missing) == len(listed.samples):
        raise OnlygoodError(
            f"{display(path)}: none of its {len(missing)} files exists, such as {display(missing[0])}; "
            f"paths are relative to {display(path.parent)}"
        )
    notes = (f"{len(missing)} of them do not exist, such as {display(missing[0])}",) if missing else ()
    return _judged(path, listed, notes)


def _paths(path: Path, text: str) -> _Listed:
    names = [line for line in lines(text) if line.strip()]
    samples = [Sample(as_on_disk(path.parent / name), 0) for name in names]
    return _Listed("a list of paths, all taken as good", samples, {}, None, named=False)


def _table(path: Path, text: str) -> _Listed:
    rows = read_rows(path, text, ("path", "label"), "path,label[,defect][,mask][,group][,split]")
    labels = _labels(path, rows)
    samples, masks = [], {}
    for row, label in zip(rows, labels, strict=True):
        image = as_on_disk(path.parent / row.cells["path"])
        samples.append(Sample(image, label, _defect(row, label), group=row.cells.get("group", "")))
        mask = row.cells.get("mask", "")
        if mask.lower() not in _NOTHING:
            masks[image] = [as_on_disk(path.parent / mask)]
    return _Listed("a CSV list", samples, masks, parts_of(path, rows), named=True)


def _judged(path: Path, listed: _Listed, notes: tuple[str, ...]) -> Found:
    names = {sample.path.absolute(): sample.path for sample in listed.samples}
    pairs = pair(list(names), Path(commonpath([name.parent for name in names])))
    masks = {names[image]: [names[mask] for mask in found] for image, found in pairs.masks.items()}
    masks |= listed.masks
    images = {names[image] for image in pairs.images}
    everything: dict[str, list[Sample]] = {"train": [], "test": [], "": []}
    for sample, part in zip(listed.samples, listed.parts or ["train"] * len(listed.samples), strict=True):
        if sample.path in images:
            everything[part].append(sample)
    train, more = judged_by_masks(everything["train"], masks, named=listed.named)
    notes += (*pairs.notes, *more)
    if listed.parts is None:
        labeled = listed.named or bool(masks)
        return Found(path, "list", listed.words, train, train, notes, labeled)
    test, more = judged_by_masks(everything["test"], masks, named=listed.named)
    notes += more
    if everything[""]:
        notes += (f"{len(everything[''])} for validation are left out",)
    return Found(path, "list", f"{listed.words} with a column split", train, test, notes)


def _labels(path: Path, rows: Sequence[TableRow]) -> list[int]:
    """0 or 1 for each row.

    An unknown label is not taken as the name of a defect, for it may be a mistyped "good"; it is taken so if
    the column defect has the same name.

    Raises:
        OnlygoodError: labels are unknown.
    """
    labels, unknown = [], Counter[str]()
    for row in rows:
        text = row.cells["label"]
        label = _label(text)
        if label is None and plain(text) == plain(row.cells.get("defect", "")):
            label = 1
        if label is None:
            unknown[text] += 1
        labels.append(label or 0)
    if unknown:
        raise OnlygoodError(
            f"{display(path)}: unknown labels {counted(unknown)}; understood are {_UNDERSTOOD}. "
            "Kinds of defects belong into a column defect, beside the label 1"
        )
    return labels


def _label(text: str) -> int | None:
    try:
        return {0.0: 0, 1.0: 1}.get(float(text))
    except ValueError:
        return {"good": 0, "false": 0, "bad": 1, "true": 1}.get(meaning(text) or text.lower())


def _defect(row: TableRow, label: int) -> str:
    """The kind of defect of a row.

    Raises:
        OnlygoodError: it contradicts the label.
    """
    text, defect = row.cells["label"], row.cells.get("defect", "")
    if defect.lower() in _NOTHING:
        return "anomalous" if label else "good"
    if label == 0 and meaning(defect) != "good":
        raise OnlygoodError(f"{row.where}: the label {text!r} means good, but the defect is {defect!r}")
    if label == 1 and meaning(defect) == "good":
        raise OnlygoodError(f"{row.where}: the label {text!r} means anomalous, but the defect is {defect!r}")
    return composed(defect) if label else "good"
