"""Rows as a Parquet table: what JSON Lines say, column by column."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from onlygood.runtime.rows import columns

Call = Callable[..., Result]


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows as JSON has them, but for the time that each took."""
    return [row | json.loads(row.pop("extras") or "{}") | {"ms": None} for row in table.to_pylist()]


@pytest.mark.parametrize("group", [1, 3, 8192])
def test_a_table_has_the_rows_of_json(
    call: Call, tiny: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra cloud is not installed")
    monkeypatch.setattr(columns, "_ROWS", group)
    out = tiny.parent / "rows.parquet"
    arguments = ("score", tiny, parts, "--boxes")
    there = call(*arguments, "-o", out)
    here = call(*arguments, "-f", "jsonl")
    assert there.exit_code == here.exit_code == 2
    assert rows_of(parquet.read_table(out)) == [
        json.loads(line) | {"ms": None} for line in here.stdout.splitlines()
    ]
    assert parquet.ParquetFile(out).num_row_groups == {1: 4, 3: 2, 8192: 1}[group]
    assert parquet.read_schema(out).equals(columns.schema())


def test_a_table_is_whole_or_not_there(
    call: Call, tiny: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="the extra cloud is not installed")
    out = tmp_path / "rows.parquet"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(columns, "table_of", full)
    result = call("score", tiny, parts, "-o", out)
    assert (result.exit_code, "No space left" in result.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir() if "rows" in path.name] == []


def test_what_a_table_needs_is_said(
    call: Call, tiny: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("score", tiny, parts, "-f", "parquet")
    assert (result.exit_code, "give it a file, -o rows.parquet" in result.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = call("score", tiny, parts, "-o", tmp_path / "rows.parquet")
    assert (result.exit_code, "pip install 'onlygood[cloud]'" in result.stderr) == (2, True)
