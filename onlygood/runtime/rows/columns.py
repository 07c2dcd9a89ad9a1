"""Rows of verdicts as columns of Arrow, for Parquet tables and data sets of Ray."""

from collections.abc import Iterable
from contextlib import nullcontext, suppress
from typing import IO, Any, Self

from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.rows.verdicts import Row, Settings, as_json

_ROWS = 8192  # in memory, and in each group of a table


class ParquetWriter:
    """One Parquet table of all rows, for which ``stream`` gets bytes, not text; a context manager."""

    def __init__(self, stream: IO[bytes], settings: Settings | None) -> None:
        try:
            from pyarrow import parquet  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            raise OnlygoodError("a Parquet table needs 'pyarrow': pip install 'onlygood[cloud]'") from None
        self._settings = settings
        self._rows: list[Row] = []
        self._table = parquet.ParquetWriter(stream, schema())

    def write(self, row: Row) -> None:
        """Keep the row until there are enough for a group."""
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def finish(self) -> None:
        """Write the last rows; what says where each group is comes at the end of the context."""
        if self._rows:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(OSError) if kind else nullcontext():  # of a disk that is full the first error is told
            self._table.close()

    def _flush(self) -> None:
        self._table.write_table(table_of(self._rows, self._settings))
        self._rows.clear()


def schema() -> Any:
    """The columns of a row: those of JSON, and what JSON has besides as one JSON text.

    Raises:
        ImportError: pyarrow is not installed.
    """
    import pyarrow  # noqa: PLC0415 - an extra

    kinds = {
        pyarrow.string(): ("path", "status", "error", "model", "extras"),
        pyarrow.float64(): ("score", "threshold", "p_value", "ms"),
        pyarrow.int64(): ("width", "height", "size", "mtime_ns"),
        pyarrow.int8(): ("anomalous", "bit_depth", "schema"),
        pyarrow.bool_(): ("any_frame",),
        pyarrow.list_(pyarrow.string()): ("notes",),
    }
    return pyarrow.schema([(name, kind) for kind, names in kinds.items() for name in names])


def table_of(rows: Iterable[Row], settings: Settings | None) -> Any:
    """The rows as a `pyarrow.Table` of this `schema`."""
    import pyarrow  # noqa: PLC0415 - an extra

    columns = schema()
    return pyarrow.Table.from_pylist([_record(row, settings, columns.names) for row in rows], columns)


def text(value: str) -> str:
    r"""A text that UTF-8 can say: bytes of a name that are no text appear as ``\udcff``, as in JSON."""
    return value.encode("utf-8", "backslashreplace").decode()


def _record(row: Row, settings: Settings | None, names: list[str]) -> dict[str, Any]:
    values = as_json(row, settings)
    extras = {name: values.pop(name) for name in list(values) if name not in names}
    values["notes"] = list(map(text, values["notes"]))
    values |= {name: text(values[name]) for name in ("path", "error")}
    return values | {"extras": jsontext.dumps(extras) if extras else None}
