"""Rows of verdicts: what is reported for each image, in which format, and the exit code that follows."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TextIO

from onlygood.runtime import jsontext
from onlygood.runtime.images.files import printable
from onlygood.runtime.images.remote import Place, Remote

SCHEMA = 1
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # each begins a formula in some spreadsheet, wide ones in Asian ones
COLUMNS = ("path", "status", "score", "threshold", "anomalous", "p_value", "width", "height", "ms", "error")


class Status(StrEnum):
    """The outcome for an image; a score that is not a number is an error, never normal."""

    NORMAL = "normal"
    ANOMALOUS = "anomalous"
    UNUSABLE = "unusable"  # read and scored, but the model cannot judge it: see ``model/frames.py``
    ERROR = "error"


@dataclass(frozen=True)
class Stamp:
    """Shows whether a file changed; None if the system gives no answer."""

    size: int | None = None  # bytes
    mtime_ns: int | None = None

    @classmethod
    def of(cls, path: Place) -> "Stamp":
        """The file's stamp now; of what lies elsewhere what its listing said."""
        if isinstance(path, Remote):
            return cls(path.size, path.mtime_ns)
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return cls()
        return cls(stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class Row:
    """The verdict on one image."""

    path: Place
    status: Status
    threshold: float | None  # None only where there is no model for the image
    score: float | None = None
    p_value: float | None = None
    width: int | None = None  # of the file, pixels
    height: int | None = None
    ms: float | None = None  # reading and inference
    error: str = ""  # why there is no verdict
    notes: tuple[str, ...] = ()
    stamp: Stamp = Stamp()
    extras: Mapping[str, Any] = field(default_factory=dict)  # what JSON has besides, as JSON values
    settings: "Settings | None" = None  # where several models are at work, those of its own


class Settings(NamedTuple):
    """What decides about a row besides the image."""

    model: str  # first 12 digits of the model file's SHA-256
    threshold: float
    bit_depth: int
    any_frame: bool = False
    tiling: str | None = None  # how images are cut and limited; each then has a threshold of its own


@dataclass
class Counts:
    """How many images, or parts, there are of each outcome."""

    images: int = 0
    anomalous: int = 0
    unusable: int = 0
    unreadable: int = 0
    earlier: int = 0  # how many of them an earlier run scored
    unit: str = "image"

    def add(self, status: Status, *, earlier: bool = False) -> None:
        """Count one image."""
        self.images += 1
        self.earlier += earlier
        self.anomalous += status is Status.ANOMALOUS
        self.unusable += status is Status.UNUSABLE
        self.unreadable += status is Status.ERROR

    def __str__(self) -> str:
        noun = self.unit if self.images == 1 else f"{self.unit}s"
        unusable = f"{self.unusable} unusable, " if self.unusable else ""
        return f"{self.images} {noun}, {self.anomalous} anomalous, {unusable}{self.unreadable} unreadable"


def exit_code(counts: Counts, *, judge: bool, skip_errors: bool = False, exit_zero: bool = False) -> int:
    """0 fine, 1 anomalies (only if ``judge``), 2 unusable or unreadable images; 2 wins over 1.

    A part that was not seen has not passed. Unreadable images may be skipped, unless all images are
    unreadable; unusable ones may not.
    """
    if counts.unusable:
        return 2
    if counts.unreadable and (not skip_errors or counts.unreadable == counts.images):
        return 2
    return int(judge and counts.anomalous > 0 and not exit_zero)


class Writer(Protocol):
    """Writes rows to a text stream as they come; each row is one call of ``stream.write``."""

    def write(self, row: Row) -> None:
        """Write one row."""

    def finish(self) -> None:
        """Write what ends the output."""


class Column(Protocol):
    """One more column of a table, always as wide as its title."""

    @property
    def title(self) -> str:
        """What stands above it."""

    def __call__(self, row: Row) -> str:
        """What it says of a row."""


def make_writer(
    format: str,
    stream: TextIO,
    settings: Settings | None,
    *,
    color: bool = False,
    spreadsheet_safe: bool = False,
) -> Writer:
    """A writer of "text", "csv", "jsonl" or "json"."""
    match format:
        case "text":
            return TextWriter(stream, color)
        case "csv":
            return CsvWriter(stream, spreadsheet_safe)
        case "jsonl":
            return JsonlWriter(stream, settings)
        case "json":
            return JsonWriter(stream, settings)
    raise ValueError(f"unknown format {format!r}")


class TextWriter:
    """A table for people: columns of fixed width with the path last, so that rows can be shown at once."""

    _COLORS: Mapping[Status, str] = {
        Status.ANOMALOUS: "\x1b[31m",
        Status.UNUSABLE: "\x1b[35m",
        Status.ERROR: "\x1b[33m",
    }

    def __init__(
        self, stream: TextIO, color: bool, *, bars: Column | None = None, before: str = "", below: str = ""
    ) -> None:
        """``bars`` is one more column, ``before`` begins each row, and the extra ``below`` follows it."""
        self._stream = stream
        self._color = color
        self._bars, self._before, self._below = bars, before, below
        title = f"{bars.title}  " if bars else ""
        self._header = f"{'status':<9}  {'score':>12}  {'p-value':>8}  {title}path\n"

    def write(self, row: Row) -> None:
        """Write one line, after the header if it is the first."""
        score = "" if row.score is None else f"{row.score:.6g}"
        p_value = "" if row.p_value is None else f"{row.p_value:.3g}"
        status = f"{row.status:<9}"
        if self._color and row.status in self._COLORS:
            status = f"{self._COLORS[row.status]}{status}\x1b[0m"
        reason = f": {printable(row.error)}" if row.error else ""
        bar = f"{self._bars(row)}  " if self._bars else ""
        line = f"{status}  {score:>12}  {p_value:>8}  {bar}{printable(row.path)}{reason}\n"
        self._stream.write(self._before + self._header + line + row.extras.get(self._below, ""))
        self._header = ""

    def finish(self) -> None:
        """Nothing ends a table."""


class CsvWriter:
    """RFC 4180 with plain newlines; names keep their bytes if the stream's errors are "surrogateescape"."""

    def __init__(self, stream: TextIO, spreadsheet_safe: bool) -> None:
        self._stream = stream
        self._spreadsheet_safe = spreadsheet_safe
        stream.write(csv_line(COLUMNS))

    def write(self, row: Row) -> None:
        """Write one record."""
        record = _record(row)
        values = (record[name] for name in COLUMNS)
        self._stream.write(csv_line(values, spreadsheet_safe=self._spreadsheet_safe))

    def finish(self) -> None:
        """Nothing ends a CSV file."""


class JsonlWriter:
    """One JSON object on each line, in ASCII; it also has what `Ledger` needs to resume."""

    def __init__(self, stream: TextIO, settings: Settings | None) -> None:
        self._stream = stream
        self._settings = settings

    def write(self, row: Row) -> None:
        """Write one object."""
        self._stream.write(jsontext.dumps(as_json(row, self._settings)) + "\n")

    def finish(self) -> None:
        """Nothing ends a JSONL file."""


class JsonWriter:
    """One JSON array of the objects that `JsonlWriter` writes, each written at once."""

    def __init__(self, stream: TextIO, settings: Settings | None) -> None:
        self._stream = stream
        self._settings = settings
        self._before = "[\n"

    def write(self, row: Row) -> None:
        """Write one element."""
        self._stream.write(self._before + jsontext.dumps(as_json(row, self._settings)))
        self._before = ",\n"

    def finish(self) -> None:
        """Close the array."""
        self._stream.write("[]\n" if self._before == "[\n" else "\n]\n")


def _record(row: Row) -> dict[str, Any]:
    """The row's columns as JSON values, by name."""
    return {
        "path": os.fspath(row.path),
        "status": row.status.value,
        "score": rounded(row.score),
        "threshold": rounded(row.threshold),
        "anomalous": {Status.NORMAL: 0, Status.ANOMALOUS: 1}.get(row.status),
        "p_value": rounded(row.p_value),
        "width": row.width,
        "height": row.height,
        "ms": None if row.ms is None else round(row.ms, 1),
        "error": row.error,
    }


def as_json(row: Row, settings: Settings | None) -> dict[str, Any]:
    """All that a JSON row says of an image, as JSON values; ``settings`` are of rows that have none."""
    decided = row.settings or settings
    return (
        _record(row)
        | {
            "size": row.stamp.size,
            "mtime_ns": row.stamp.mtime_ns,
            "bit_depth": decided.bit_depth if decided else None,
            "any_frame": decided.any_frame if decided else False,
            "model": decided.model if decided else None,
            "notes": list(row.notes),
            "schema": SCHEMA,
        }
        | ({"tiling": decided.tiling} if decided and decided.tiling else {})
        | dict(row.extras)
    )


def rounded(value: Any) -> Any:
    """Nine significant digits, which distinguish any two float32: a row agrees with its own verdict."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def csv_line(values: Iterable[Any], *, spreadsheet_safe: bool = False) -> str:
    """One record of a CSV file, not by csv.writer, which would leave carriage returns unquoted.

    ``spreadsheet_safe`` puts a ' before texts that a spreadsheet would run as a formula.
    """
    return ",".join(_csv_field(value, spreadsheet_safe) for value in values) + "\n"


def _csv_field(value: Any, spreadsheet_safe: bool) -> str:
    text = "" if value is None else str(value)
    if spreadsheet_safe and isinstance(value, str) and text.startswith(_FORMULA):
        text = "'" + text
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
