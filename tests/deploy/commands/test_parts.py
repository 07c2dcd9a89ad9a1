"""`--parts`: one verdict for each part that several images show."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Call = Callable[..., Result]
Gray = Callable[..., Path]


@pytest.fixture
def parted(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> Path:
    """The model whose score is gray / 255, calibrated on parts whose brighter of two images is 101 … 119."""
    for value in range(101, 120):
        gray(f"good/p{value}_0.png", value)
        gray(f"good/p{value}_1.png", 60 + value % 7)
    result = call("calibrate", tiny, tmp_path / "good", "--groups", r"p\d+")
    assert result.exit_code == 0, result.stderr
    return tiny


def rows_of(call: Call, model: Path, *more: object) -> list[dict[str, Any]]:
    result = call("score", model, *more, "--parts", r"(\d+)_\d", "-f", "json")
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_a_part_is_judged_by_its_highest_score_among_those_of_other_parts(
    call: Call, parted: Path, gray: Gray
) -> None:
    """At 10 % of 19 parts: the second largest maximum, 118 of 101 … 119, of 255."""
    images = [gray(f"new/7_{n}.png", value) for n, value in enumerate((70, 118, 90))]
    images += [gray(f"new/8_{n}.png", value) for n, value in enumerate((119, 118))]
    seven, eight = rows_of(call, parted, *images)
    assert (seven["part"], seven["images"], seven["unjudged"]) == ("7", 3, 0)
    assert (seven["status"], seven["path"]) == ("normal", str(images[1]))
    assert seven["threshold"] == pytest.approx(118 / 255)
    assert seven["p_value"] == pytest.approx(3 / 20)  # 118 and 119 are as high
    assert (eight["status"], eight["path"]) == ("anomalous", str(images[3]))
    assert eight["p_value"] == pytest.approx(2 / 20)


def test_what_was_not_seen_has_not_passed(call: Call, parted: Path, gray: Gray) -> None:
    fine, broken = gray("new/1_0.png", 100), gray("new/1_1.png", 100)
    broken.write_bytes(b"no image")
    bad, also_broken = gray("new/2_0.png", 200), gray("new/2_1.png", 100)
    also_broken.write_bytes(b"no image")
    images = [fine, broken, bad, also_broken]
    one, two = rows_of(call, parted, *images)
    assert (one["status"], one["score"], one["unjudged"]) == ("error", pytest.approx(100 / 255), 1)
    assert one["error"].startswith(f"1 of 2 images could not be judged: {broken}: ")
    assert (two["status"], two["unjudged"], two["error"]) == ("anomalous", 1, "")
    result = call("check", parted, *images, "--parts", r"(\d+)_\d", "-f", "csv")
    assert result.exit_code == 2
    assert f"{also_broken}: " in result.stderr  # said of each image, also of a part that is flagged anyhow
    assert "2 parts, 1 anomalous, 1 unreadable" in result.stderr
    assert "parts/s)" in result.stderr
    assert call("check", parted, bad, "--parts", r"(\d+)_\d").exit_code == 1


def test_images_that_name_no_part_are_parts_of_their_own(call: Call, parted: Path, gray: Gray) -> None:
    rows = rows_of(call, parted, gray("new/a.png", 100), gray("new/b.png", 200))
    assert [(row["images"], row["status"]) for row in rows] == [(1, "normal"), (1, "anomalous")]
    assert rows[0]["part"] == rows[0]["path"]


def test_the_rate_counts_parts(call: Call, parted: Path, gray: Gray) -> None:
    image = gray("new/1_0.png", 119)
    (row,) = rows_of(call, parted, image, "--max-false-alarms", "0.05")
    assert (row["threshold"], row["status"]) == (pytest.approx(119 / 255), "normal")
    result = call("score", parted, image, "--parts", "x", "--max-false-alarms", "0.01")
    assert result.exit_code == 2


def test_what_cannot_be_is_refused(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    image = gray("new/1_0.png", 100)
    result = call("score", tiny, image, "--parts", "x")
    assert result.exit_code == 2
    assert "the model knows no parts" in result.stderr
    result = call("score", tiny, image, "--parts", "x", "--resume", "-o", tmp_path / "rows.jsonl")
    assert "not with --resume" in result.stderr


def test_a_pattern_must_be_one(call: Call, parted: Path, gray: Gray) -> None:
    result = call("score", parted, gray("new/1_0.png", 100), "--parts", "(")
    assert result.exit_code == 2
    assert "not a regular expression" in result.stderr
