"""The notebooks in `examples` are run from top to bottom, and what their text claims is so."""

import json
import os
import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import Result

from onlygood.runtime.errors import OnlygoodError

NOTEBOOKS = Path(__file__).parent.parent / "examples/notebooks"
Run = Callable[[str], dict[str, Any]]


def cells(name: str) -> list[str]:
    """The code cells, which are committed as they are before they ran."""
    found = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in found if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Result]) -> Run:
    """Runs a notebook in an empty folder, its `!onlygood` in this process; gives what its names are then."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)

    def typed(line: str) -> None:
        program, *arguments = shlex.split(line)
        assert program == "onlygood"
        assert call(*arguments).exit_code == 0, line

    def whole(name: str) -> dict[str, Any]:
        names: dict[str, Any] = {"_typed": typed}
        for source in cells(name):
            exec(re.sub(r"^!(.*)$", r"_typed(f'\1')", source, flags=re.MULTILINE), names)  # noqa: S102
        return names

    return whole


def test_a_first_detector(run: Run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = run("first_detector.ipynb")
    flagged = names["flagged"]
    assert flagged["good"] <= 1
    assert flagged["stain"] == flagged["scratch"] == 10
    most, asked, fewest = names["thresholds"].values()
    assert most < asked < fewest
    with pytest.raises(OnlygoodError, match=r"smallest rate that these allow is 0\.025"):
        names["detector"].threshold(0.02)
    shown = names["detector"]._repr_html_()
    assert "at most 5.00% of good images are flagged" in shown
    assert f"{names['held_out']} good images, on which the promise rests" in shown
    result, stained = names["result"], names["stained"]
    assert result.anomalous
    assert "image with its heatmap" in result._repr_html_()
    assert names["hottest"] > names["detector"].heat_threshold()
    smooth = np.asarray(Image.fromarray(stained).filter(ImageFilter.MedianFilter(5)), float)
    stain = np.argwhere(abs(smooth - 120) < 20).mean(axis=0)  # the table is 60, the washer 170
    scale = len(stained) / len(result.heatmap)
    assert np.hypot(*(scale * (np.array([names["row"], names["column"]]) + 0.5) - stain)) < 10
    assert names["again"].score == result.score


def test_two_pretext_tasks(run: Run) -> None:
    last = run("pretext_tasks.ipynb")["last"]
    for protocol in ("knn", "logistic"):
        assert last[f"rotation-{protocol}"]["low"] > last[f"random-{protocol}"]["high"]
        assert last[f"rotation-{protocol}"]["value"] > 0.5
    assert last["simclr-knn"]["low"] < 1 / 6
    for task in ("rotation", "simclr"):
        with Image.open(f"{task}.work/views.png") as views:
            assert len(np.unique(np.asarray(views))) > 100


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_links_of_notebooks_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (path.parent / link).exists(), link
    assert path.name in (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
