"""What labels measure in a report, also where the model knows all good images."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from typer.testing import Result

from onlygood.runtime.model.metadata import Metadata

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]
DataOf = Callable[[Path], dict[str, Any]]
RowsOf = Callable[[Path], dict[str, dict[str, Any]]]


def digest(gray: int) -> str:
    """How a model file lists an even image that it knows."""
    return hashlib.sha256(np.full((8, 8, 1), gray, np.uint8).tobytes()).hexdigest()[:16]


def test_measures_are_those_of_evaluate(
    *, call: Call, tiny: Path, labeled: Path, report: Path, data_of: DataOf
) -> None:
    measured = json.loads(call("evaluate", tiny, labeled, "-f", "json", "-q").stdout)
    ours = data_of(report)["measures"]
    assert ours["auroc"] == measured["image_auroc"]
    assert ours["average_precision"] == measured["image_ap"]
    assert ours["fpr95"] == measured["fpr95"]
    by_defect = {name: found["auroc"] for name, found in measured["per_defect"].items()}
    assert {name: found["value"] for name, found in ours["per_defect"].items()} == by_defect
    assert ours["auroc"]["value"] == pytest.approx(19 / 20)  # of 5 × 4 pairs, 204 against 230 is wrong


@pytest.mark.parametrize(
    ("groups", "words"),
    [(None, "19 good images held out"), ([0, *range(18)], "18 good parts held out")],
)
def test_without_new_good_images_the_calibration_stands_for_them(
    *,
    call: Call,
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    labeled: Path,
    tmp_path: Path,
    data_of: DataOf,
    groups: list[int] | None,
    words: str,
) -> None:
    """Calibrated at 0, .05 … .9. Dents score .94, .98; scratches .96 and, rounded up, .8: above 17 of 19."""
    known = [digest(gray) for gray in (51, 102, 153, 230)]
    told = {"scores": [i / 20 for i in range(19)], "groups": groups, "max_false_alarms": 0.1}
    facts = {"pixel_hashes": known, "images": {"train": 4}}
    model = make_tiny(metadata=metadata_with(provenance=facts, calibration=told))
    call("report", model, labeled, "-o", tmp_path / "r.html", "-q")
    data = data_of(tmp_path / "r.html")
    found = data["measures"]
    assert found["against"] == "calibration"
    scratches = (17 / 19 + 1) / 2
    assert found["per_defect"]["dent"]["value"] == 1
    assert found["per_defect"]["scratch"]["value"] == pytest.approx(scratches)
    assert found["auroc"]["value"] == pytest.approx((2 + 2 * scratches) / 4)
    assert data["model"]["what"] == (
        f"Recipe tiny, learned from 4 good images, calibrated on {words}: "
        f"flags at most 10 % of new good {words.split()[2]}."
    )


def test_labels_of_good_images_alone_measure_no_detection(
    *, call: Call, tiny: Path, gray: Gray, tmp_path: Path, data_of: DataOf
) -> None:
    gray("a.png", 51)
    (tmp_path / "list.csv").write_text("path,label\na.png,good\n")
    call("report", tiny, tmp_path / "list.csv", "-o", tmp_path / "r.html", "-q")
    assert data_of(tmp_path / "r.html")["measures"] is None


def test_images_that_the_model_knows_do_not_count(
    *,
    call: Call,
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    labeled: Path,
    tmp_path: Path,
    data_of: DataOf,
    rows_of: RowsOf,
) -> None:
    known = digest(230)
    model = make_tiny(metadata=metadata_with(provenance={"pixel_hashes": [known]}))
    told = call("report", model, labeled, "-o", tmp_path / "r.html").stderr
    assert [name for name, row in rows_of(tmp_path / "r.html").items() if row["seen"]] == ["good/d.png"]
    assert data_of(tmp_path / "r.html")["measures"]["auroc"]["value"] == 1  # without the false alarm
    assert "1 images are known to the model" in told
    assert data_of(tmp_path / "r.html")["knows_seen"]


@needs_chromium
def test_without_new_good_images_it_says_who_stands_for_them(
    *,
    call: Call,
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    labeled: Path,
    tmp_path: Path,
) -> None:
    """The dot is where one of 19 of the calibration and 3 of 4 defects are flagged."""
    known = [digest(gray) for gray in (51, 102, 153, 230)]
    model = make_tiny(metadata=metadata_with(provenance={"pixel_hashes": known}))
    call("report", model, labeled, "-o", tmp_path / "r.html", "-q")
    with Browser() as chromium:
        chromium.open(tmp_path / "r.html")
        words = chromium.do("document.querySelector('#stand-in').textContent")
        assert words.startswith(
            "The 5 good images here are known to the model and do not count. In their place"
        )
        assert "the 19 good images of the calibration, from" in words
        assert chromium.do("document.querySelector('#one-kind').getClientRects().length") == 0
        assert chromium.do("document.querySelector('[data-defect=dent]').textContent") == "2 of 2"
        assert chromium.do("document.querySelector('[data-defect=scratch]').textContent") == "1 of 2"
        x, y, left, right, top, bottom = chromium.do(
            """(() => { const dot = document.querySelector('#roc .here').attributes;
            const line = document.querySelector('#roc .curve').getAttribute('points').split(' ');
            const [xs, ys] = [0, 1].map((k) => line.map((point) => Number(point.split(',')[k])));
            return [Number(dot.cx.value), Number(dot.cy.value), Math.min(...xs), Math.max(...xs),
                    Math.min(...ys), Math.max(...ys)]; })()"""
        )
        assert (x - left) / (right - left) == pytest.approx(1 / 19, abs=0.005)
        assert (bottom - y) / (bottom - top) == pytest.approx(3 / 4, abs=0.005)
