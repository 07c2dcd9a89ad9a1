"""A labeled data set whose scores are known, and the report on it."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]

HOSTILE = "<img src=x onerror=window.hacked=1>.png"


@pytest.fixture
def labeled(tmp_path: Path, gray: Gray) -> Path:
    """Good: 51, 102, 153, 230 (a false alarm). Dents: 240, 250. Scratches: 204 (missed), 245; all over 255.

    One of the good ones is there twice, one scratch is no image, and one dent's name is hostile.
    """
    for name, value in (("a", 51), ("b", 102), ("c", 153), ("d", 230)):
        gray(f"set/good/{name}.png", value)
    gray("set/good/b again.png", 102)
    gray("set/dent/e.png", 240)
    gray(f"set/dent/{HOSTILE}", 250)
    gray("set/scratch/f.png", 204)
    gray("set/scratch/g.png", 245)
    (tmp_path / "set/scratch/h.png").write_bytes(b"no image")
    return tmp_path / "set"


@pytest.fixture
def report(call: Call, tiny: Path, labeled: Path, tmp_path: Path) -> Path:
    """The page about these images, from a model of threshold 0.85 = 216.75 255ths, at a rate of 0.1."""
    result = call("report", tiny, labeled, "-o", tmp_path / "report.html", "-q", "-j", 1)
    assert result.exit_code == 2, result.output  # one image cannot be read
    return tmp_path / "report.html"


def block(page: Path, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def data_of() -> Callable[[Path], dict[str, Any]]:
    """What a page says beside pictures, and the pictures under "pictures"."""
    return lambda page: block(page, "data") | {"pictures": block(page, "pictures")}


@pytest.fixture
def rows_of(data_of: Callable[[Path], dict[str, Any]]) -> Callable[[Path], dict[str, dict[str, Any]]]:
    """The images of a page, by folder and name."""

    def rows(page: Path) -> dict[str, dict[str, Any]]:
        data = data_of(page)
        columns = data["images"]
        table: dict[str, dict[str, Any]] = {}
        for index, name in enumerate(columns["name"]):
            folder = os.path.basename(data["folders"][columns["folder"][index]]["name"])  # noqa: PTH119
            lists = {key: value[index] for key, value in columns.items() if isinstance(value, list)}
            odd = {key: value.get(str(index)) for key, value in columns.items() if isinstance(value, dict)}
            kind = lists["defect"]
            known = {"index": index, "kind": None if kind is None else data["defects"][kind]}
            table[f"{folder}/{name}"] = lists | odd | known
        return table

    return rows
