"""Rows of verdicts as columns of Arrow, for Parquet tables and data sets of Ray."""

from collections.abc import Iterable
from typing import Any

from onlygood.runtime import jsontext
from onlygood.runtime.rows.verdicts import Row, Settings, as_json


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


def table_of(rows: Iterable[Row], settings: Settings) -> Any:
    """The rows as a `pyarrow.Table` of this `schema`."""
    import pyarrow  # noqa: PLC0415 - an extra

    columns = schema()
    return pyarrow.Table.from_pylist([_record(row, settings, columns.names) for row in rows], columns)


def text(value: str) -> str:
    r"""A text that UTF-8 can say: bytes of a name that are no text appear as ``\udcff``, as in JSON."""
    return value.encode("utf-8", "backslashreplace").decode()


def _record(row: Row, settings: Settings, names: list[str]) -> dict[str, Any]:
    values = as_json(row, settings)
    extras = {name: values.pop(name) for name in list(values) if name not in names}
    values["notes"] = list(map(text, values["notes"]))
    values |= {name: text(values[name]) for name in ("path", "error")}
    return values | {"extras": jsontext.dumps(extras) if extras else None}
