"""`score --heatmaps` and `--boxes`: files that no two images share, regions in the file's pixels."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import Result

from onlygood import Detector
from onlygood.deploy.heatmaps import OUTLINE, safe

Call = Callable[..., Result]
MakeTiny = Callable[..., Path]

PARTS = st.binary(min_size=1, max_size=60).filter(lambda name: not {0, 47} & set(name)).map(os.fsdecode)
PEAKS = {"scores": [i / 20 for i in range(19)], "max_false_alarms": 0.1}  # the threshold is 0.85


@pytest.fixture
def model(make_tiny: MakeTiny, metadata_with: Any) -> Path:
    return make_tiny(metadata=metadata_with(peaks=PEAKS))


def corner(path: Path, size: tuple[int, int] = (80, 40)) -> Path:
    """Black, with a white upper right quarter."""
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[: size[1] // 2, size[0] // 2 :] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, "PNG")
    return path


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_boxes_are_pixels_of_the_file(call: Call, model: Path, tmp_path: Path) -> None:
    (row,) = rows(call("score", model, corner(tmp_path / "a.png"), "--boxes"))
    assert row["status"] == "normal"  # a quarter of the image is white: the score is 0.25
    assert row["region_threshold"] == pytest.approx(0.85)
    (region,) = row["regions"]
    left, upper, right, lower = region["box"]
    assert (upper, right) == (0, 80)
    assert 40 <= left <= 60  # values lie between the four of the map
    assert 10 <= lower <= 20
    assert region["area"] == (right - left) * (lower - upper)
    assert region["stored_box"] == region["box"]
    assert region["peak"] == pytest.approx(1.0, abs=0.1)  # the resize softens the edge


def test_the_rate_moves_the_limit_of_regions(call: Call, model: Path, gray: Any) -> None:
    image = gray("x.png", 224)  # 0.878 everywhere
    for rate, count in (("0.05", 0), ("0.1", 1)):
        (row,) = rows(call("score", model, image, "--boxes", "--max-false-alarms", rate))
        assert len(row["regions"]) == count


def test_a_file_without_peaks_says_that_nothing_is_promised(call: Call, tiny: Path, gray: Any) -> None:
    result = call("score", tiny, gray("x.png", 224), "--boxes")
    assert "holds no peaks of heatmaps" in result.stderr
    assert rows(result)[0]["region_threshold"] == Detector.load(tiny).threshold()


@pytest.mark.parametrize("options", [["-f", "csv"], ["-f", "text"], ["-o", "rows.csv"]])
def test_boxes_need_json(call: Call, model: Path, gray: Any, options: list[str]) -> None:
    result = call("score", model, gray("x.png", 1), "--boxes", *options)
    assert result.exit_code == 2
    assert "JSON" in result.stderr


def test_unordered_peaks_are_refused(call: Call, make_tiny: MakeTiny, metadata_with: Any, gray: Any) -> None:
    wrong = metadata_with(peaks={"scores": [2, 1], "max_false_alarms": 0.4})
    result = call("score", make_tiny(metadata=wrong), gray("x.png", 1))
    assert "peaks.scores are not in ascending order" in result.stderr


# --- files


def test_heatmaps_show_and_hold_the_map(
    call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corner(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    (row,) = rows(call("score", model, "in", "--heatmaps", "out", "-f", "jsonl"))
    assert (row["overlay"], row["heatmap"]) == ("out/in/a.png.png", "out/in/a.png.npy")
    assert row["heatmap_box"] == [0, 0, 80, 40]
    assert np.load(row["heatmap"]) == pytest.approx(np.array([[0, 1], [0, 0]]), abs=0.1)
    drawn = np.asarray(Image.open(row["overlay"])).astype(int)
    assert drawn.shape == (40, 80, 3)
    assert (drawn[30:, :20] == 0).all()  # cold: as it was
    assert (drawn[5, 75] != 255).any()  # hot: colored
    assert (drawn == OUTLINE).all(axis=2).any()


def test_check_draws_only_what_is_not_normal(
    call: Call, model: Path, gray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gray("in/good.png", 51)
    gray("in/bad.png", 250)
    monkeypatch.chdir(tmp_path)
    call("check", model, "in", "--heatmaps", "out")
    assert sorted(path.name for path in Path("out").rglob("*.png.*")) == ["bad.png.npy", "bad.png.png"]


def test_images_of_one_name_do_not_share_a_heatmap(
    call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a/x.png", "b/x.png", "a/x.bmp", "a/x.png.png", "x.png", "in/../x.png"]
    Path("in").mkdir()
    for name in names[:-1]:
        corner(Path(name))
    paths = [*names, tmp_path / "x.png", tmp_path / "x%.png"]
    corner(tmp_path / "x%.png")
    found = rows(call("score", model, *paths, "--heatmaps", "out", "-f", "jsonl"))
    files = {row[key] for row in found for key in ("overlay", "heatmap")}
    assert len(files) == 2 * len(paths)
    assert all(Path(file).is_file() for file in files)
    assert all(Path("out").resolve() in Path(file).resolve().parents for file in files)


def test_heatmaps_are_not_scored_themselves(
    call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corner(Path("in/a.png"))
    for _ in range(2):
        found = rows(call("score", model, "in", "in/heat", "--heatmaps", "in/heat", "-f", "jsonl"))
        assert [row["path"] for row in found if row["status"] != "error"] == ["in/a.png"]


def test_resume_makes_the_heatmaps_that_are_missing(
    call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        corner(Path(f"in/{name}.png"))
    call("score", model, "in", "-o", "rows.jsonl", "--resume")
    before = Path("rows.jsonl").read_bytes()
    call("score", model, "in", "-o", "rows.jsonl", "--resume", "--heatmaps", "out")
    assert Path("rows.jsonl").read_bytes() == before
    assert Path("out/in/b.png.npy").is_file()
    Path("out/in/b.png.npy").unlink()
    call("score", model, "in", "-o", "rows.jsonl", "--resume", "--heatmaps", "out")
    assert Path("out/in/b.png.npy").is_file()


def test_a_folder_of_other_pictures_is_refused(call: Call, model: Path, tmp_path: Path) -> None:
    corner(tmp_path / "in" / "a.png")
    result = call("score", model, tmp_path / "in", "--heatmaps", tmp_path / "in")
    assert result.exit_code == 2
    assert "give a new folder" in result.stderr


@pytest.mark.parametrize("option", ["--heatmaps", "--copy-flagged"])
def test_a_file_where_a_folder_is_wanted(call: Call, model: Path, tmp_path: Path, option: str) -> None:
    corner(tmp_path / "in" / "a.png")
    before = (tmp_path / "in/a.png").read_bytes()
    result = call("check", model, tmp_path / "in", option, tmp_path / "in/a.png")
    assert result.exit_code == 2
    assert result.stderr == f"onlygood: {tmp_path}/in/a.png is a file; name a folder\n"
    assert (tmp_path / "in/a.png").read_bytes() == before


# --- names


@given(PARTS, PARTS)
def test_names_are_safe_and_differ(one: str, other: str) -> None:
    assert (safe(one) == safe(other)) == (one == other)
    name = safe(one)
    assert name.isprintable()
    assert name not in (".", "..")
    assert not set(name) & set('/\\:*?"<>|')
    assert not name.endswith((".", " "))
    assert len(name.encode()) <= 220


def test_names_by_hand() -> None:
    assert safe("böse Nr.1.png") == "böse Nr.1.png"
    assert safe("..") == ".%2E"
    assert safe("/") == "%2F"
    assert safe("a\nb") == "a%0Ab"
    assert safe(os.fsdecode(b"caf\xe9")) == "caf%E9"
    assert safe("x" * 300).startswith("x" * 100)
    assert safe("x" * 300) != safe("x" * 301)
