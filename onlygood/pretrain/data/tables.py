"""Lists in CSV, as people and spreadsheets write them: commas, semicolons or tabs, any line end."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display

_SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation", "dev"),
}


@dataclass(frozen=True)
class TableRow:
    """The cells of a line by the names of their columns, and the line's place for messages."""

    where: str
    cells: dict[str, str]


def read_text(path: Path) -> str:
    """The text of a list; names in it may be any bytes."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise OnlygoodError(f"{display(path)}: {error.strerror}") from None
    if "\0" in text:
        raise OnlygoodError(f"{display(path)} is not a text file; give a folder of images or a list file")
    return text


def lines(text: str) -> list[str]:
    """The lines of a text, ended in any of the three ways; other characters may be part of a name."""
    return re.split(r"\r\n|\r|\n", text)


def columns(text: str) -> list[str]:
    """The names in the first line, in lower case, if the text is a table."""
    try:
        return [name.lower() for name in next(_records(text))[1]]
    except (StopIteration, csv.Error):
        return []


def read_rows(path: Path, text: str, needed: Sequence[str], wanted: str) -> list[TableRow]:
    """The lines of a table without its header; blank ones are skipped, cells stripped.

    Raises:
        OnlygoodError: a column of ``needed`` is not there or empty in a line (``wanted`` says what the first
            line should read), a name stands twice, or a line has more or fewer cells than the header.
    """
    names = columns(text)
    if not set(needed) <= set(names):
        raise OnlygoodError(
            f"{display(path)}: the first line must name the columns {wanted}; it reads {', '.join(names)}"
        )
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        raise OnlygoodError(f"{display(path)}: the first line names {twice[0]!r} twice")
    rows = []
    try:
        for number, record in list(_records(text))[1:]:
            where = f"{display(path)}, line {number}"
            if not any(record):
                continue
            if len(record) != len(names):
                raise OnlygoodError(f"{where}: {len(record)} columns where the header names {len(names)}")
            cells = dict(zip(names, record, strict=True))
            if not all(cells[name] for name in needed):
                raise OnlygoodError(f"{where}: {' and '.join(needed)} must not be empty")
            rows.append(TableRow(where, cells))
    except csv.Error as error:
        raise OnlygoodError(f"{display(path)}: not a table in CSV ({error})") from None
    return rows


def parts_of(path: Path, rows: Sequence[TableRow]) -> list[str] | None:
    """Of each row "train", "test" or "" (left out) by the column ``split``; None if there is no such column.

    Rows for validation are those to test on where there are no others, else left out.

    Raises:
        OnlygoodError: a split of another name; all such are listed.
    """
    if not rows or "split" not in rows[0].cells:
        return None
    kinds = [
        next((kind for kind, names in _SPLITS.items() if row.cells["split"].lower() in names), None)
        for row in rows
    ]
    unknown = Counter(row.cells["split"] for row, kind in zip(rows, kinds, strict=True) if kind is None)
    if unknown:
        raise OnlygoodError(
            f"{display(path)}: the column split holds {counted(unknown)}; understood are train, test and val"
        )
    validation = "" if "test" in kinds else "test"
    return [validation if kind == "val" else str(kind) for kind in kinds]


def counted(names: Counter[str], most: int = 20) -> str:
    """``'dent' (12), '' (1)``, the most frequent first."""
    words = ", ".join(f"{name!r} ({count})" for name, count in names.most_common(most))
    return words + (f" and {len(names) - most} more" if len(names) > most else "")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and stripped cells of each line; cells in quotes may hold line ends."""
    header = lines(text)[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    for row in rows:
        yield rows.line_num, [cell.strip() for cell in row]
