"""Images in a column of a Parquet table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.remote import TABLES, Remote, without_secrets

_ROWS = 16  # that are in memory at once
_NAMES = ("image", "img", "picture", "bytes", "jpg", "png")


def is_table(name: str) -> bool:
    """Whether a name is that of a Parquet table."""
    return name.lower().endswith(TABLES)


def table_rows(url: str, file: Path | Any) -> Iterator[Remote]:
    """An image of each row, a few rows at a time; an empty cell is an image of no bytes.

    Raises:
        OnlygoodError: no column holds images, or several might.
        ImportError: pyarrow is not installed.
    """
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    table = pyarrow.parquet.ParquetFile(file)
    column = _column(table.schema_arrow, url)
    number = 0
    for batch in table.iter_batches(_ROWS, columns=[column]):
        for value in batch.column(0):
            cell = value.as_py()
            content = (cell.get("bytes") if isinstance(cell, dict) else cell) or b""
            yield Remote(f"parquet://{number}::{url}", len(content), None, content, f"{number:09}")
            number += 1


def _column(schema: Any, url: str) -> str:
    """The column that holds images: bytes, or as Hugging Face has it a struct with ``bytes``."""
    import pyarrow  # noqa: PLC0415 - an extra

    kinds = pyarrow.types

    def holds_bytes(kind: Any) -> bool:
        if kinds.is_struct(kind):
            index = kind.get_field_index("bytes")
            return index >= 0 and holds_bytes(kind.field(index).type)
        return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))

    found = [field.name for field in schema if holds_bytes(field.type)]
    named = [name for name in found if name.lower() in _NAMES]
    chosen = found if len(found) == 1 else named
    if len(chosen) != 1:
        what = f"these may: {', '.join(found)}" if found else f"its columns are {', '.join(schema.names)}"
        raise OnlygoodError(
            f"{without_secrets(url)}: no single column holds images as bytes; {what}; call it 'image'"
        )
    return str(chosen[0])
