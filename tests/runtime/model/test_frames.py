"""A covered lens, a wrong exposure and a lost focus are no good parts, whatever the model scores them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from onlygood import Detector
from onlygood.runtime.model.frames import Frame, measure, objection, ranges
from onlygood.runtime.model.metadata import Frames
from onlygood.runtime.rows.verdicts import Counts, Status, exit_code

USUAL = Frames(brightness=(100, 120), contrast=(20, 30), clipped=(0, 0.01), sharpness=(0.1, 0.2))
GOOD = Frame(brightness=110, contrast=25, clipped=0, sharpness=0.15)


def test_statistics_by_hand() -> None:
    pixels = np.array([[0, 100], [100, 255]], np.uint8)[:, :, None]
    frame = measure(pixels)
    assert frame.brightness == pytest.approx(455 / 4)
    assert frame.contrast == pytest.approx(np.std([0, 100, 100, 255]))
    assert frame.clipped == 0.5  # one black pixel, one white one
    assert frame.sharpness == pytest.approx((100 + 155) / 2 / np.std([0, 100, 100, 255]))


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_is_the_mean_of_the_channels_to_the_bit(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, channels), np.uint8)
    gray = pixels.mean(axis=2, dtype=np.float32)
    frame = measure(pixels)
    assert (frame.brightness, frame.contrast) == (float(gray.mean()), float(gray.std()))


@given(st.integers(0, 255), st.sampled_from([1, 3]))
def test_a_constant_image_has_neither_contrast_nor_sharpness(value: int, channels: int) -> None:
    frame = measure(np.full((8, 9, channels), value, np.uint8))
    assert (frame.brightness, frame.contrast, frame.sharpness) == (value, 0, 0)
    assert frame.clipped == (value in (0, 255))


def test_sharpness_does_not_depend_on_contrast_or_brightness() -> None:
    pixels = np.random.default_rng(0).integers(0, 50, (16, 16, 1), np.uint8)
    assert measure(pixels * 4 + 20).sharpness == pytest.approx(measure(pixels).sharpness)


def test_one_bad_image_among_a_hundred_widens_no_range() -> None:
    frames = [Frame(110 + i / 50, 25, 0, 0.15) for i in range(100)]
    spoilt = ranges([*frames, Frame(0, 0, 1, 0)])
    assert spoilt.contrast == (25, 25)
    assert 110 <= spoilt.brightness[0] <= spoilt.brightness[1] <= 112


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, ""),
        ({"contrast": 10.0}, ""),  # the limits themselves are still within
        ({"contrast": 9.9}, "nearly constant"),
        ({"contrast": 60.0}, ""),
        ({"contrast": 60.1}, "too much contrast"),
        ({"clipped": 0.16}, ""),
        ({"clipped": 0.17}, "clipped: 17 %"),
        ({"brightness": 90.0}, ""),  # half the range of 20, at least 10
        ({"brightness": 89.9}, "too dark"),
        ({"brightness": 130.1}, "too bright"),
        ({"sharpness": 0.06}, ""),
        ({"sharpness": 0.059}, "out of focus"),
        ({"sharpness": 0.61}, "noise"),
    ],
)
def test_limits_by_hand(changes: dict[str, float], word: str) -> None:
    reason = objection(Frame(**{**vars(GOOD), **changes}), USUAL).replace("%", " %")
    assert reason.startswith(word)
    assert bool(reason) == bool(word)


def test_a_model_that_knows_no_ranges_objects_to_nothing() -> None:
    assert objection(Frame(0, 0, 1, 0), None) == ""


# --- a model whose score is the mean gray level, trained on textures around 110


def texture(seed: int, side: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(70, 150, (side, side), np.uint8)


@pytest.fixture
def model(make_tiny: Callable[..., Path], metadata_with: Callable[..., Any]) -> Path:
    usual = ranges([measure(texture(seed)[:, :, None]) for seed in range(50)])
    return make_tiny(metadata=metadata_with(frames=usual.model_dump()))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_frame_fails_check(model: Path, call: Callable[..., Any], tmp_path: Path, value: int) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (256, 256), value).save(blank)
    checked = call("check", model, blank, "-f", "csv")
    assert checked.exit_code == 2
    row = checked.stdout.splitlines()[1].split(",")
    assert (row[1], row[4]) == ("unusable", "")  # no verdict
    assert "nearly constant" in row[-1]
    assert "1 unusable" in checked.stderr


def test_forty_levels_more_fail_check_and_the_image_itself_passes(
    model: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    part = tmp_path / "part.png"
    Image.fromarray(texture(100)).save(part)
    assert call("check", model, part).exit_code == 0
    Image.fromarray(texture(100) + 40).save(part)
    checked = call("check", model, part, "-f", "csv")
    assert checked.exit_code == 2
    assert "too bright" in checked.stdout


def test_a_lost_focus_fails_check(model: Path, call: Callable[..., Any], tmp_path: Path) -> None:
    part = tmp_path / "part.png"
    smooth = Image.fromarray(texture(100)).resize((64, 64), Image.Resampling.NEAREST)
    smooth.filter(ImageFilter.GaussianBlur(8)).save(part)
    checked = call("check", model, part, "-f", "csv")
    assert (checked.exit_code, "unusable" in checked.stdout) == (2, True)


def test_any_frame_judges_by_the_score_alone_and_says_so(
    model: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (8, 8), 255).save(blank)
    assert call("check", model, blank, "--any-frame").exit_code == 1
    Image.new("L", (8, 8), 0).save(blank)
    checked = call("check", model, blank, "--any-frame", "-v")
    assert checked.exit_code == 0
    assert "frame: nearly constant" in checked.stderr


def test_a_resumed_run_looks_again_at_unusable_frames(
    model: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    blank, rows = tmp_path / "blank.png", tmp_path / "rows.jsonl"
    Image.new("L", (8, 8), 0).save(blank)
    assert call("score", model, blank, "-o", rows, "--resume").exit_code == 2
    assert call("score", model, blank, "-o", rows, "--resume").exit_code == 2
    assert call("score", model, blank, "-o", rows, "--resume", "--any-frame").exit_code == 0
    seen = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [(row["status"], row["any_frame"]) for row in seen] == [("unusable", False), ("normal", True)]


def test_python_says_why_a_frame_is_unusable(model: Path) -> None:
    detector = Detector.load(model)
    assert detector.score(texture(100)).unusable == ""
    assert "nearly constant" in detector.score(np.zeros((8, 8), np.uint8)).unusable


def test_flagged_frames_are_copied(model: Path, call: Callable[..., Any], tmp_path: Path) -> None:
    Image.new("L", (8, 8), 0).save(tmp_path / "blank.png")
    call("check", model, tmp_path / "blank.png", "--copy-flagged", tmp_path / "flagged")
    assert [path.name for path in (tmp_path / "flagged").rglob("*.png")] == ["blank.png"]


def test_info_says_what_frames_were_like_or_that_they_are_not_judged(
    model: Path, tiny: Path, call: Callable[..., Any]
) -> None:
    assert "sharpness" in call("info", model).stdout
    assert "a covered lens may pass as good" in call("info", tiny).stdout


@pytest.mark.parametrize("skip_errors", [True, False])
def test_unusable_frames_are_never_skipped(skip_errors: bool) -> None:
    counts = Counts()
    for status in (Status.NORMAL, Status.UNUSABLE, Status.ANOMALOUS):
        counts.add(status)
    assert exit_code(counts, judge=True, skip_errors=skip_errors) == 2
    assert str(counts) == "3 images, 1 anomalous, 1 unusable, 0 unreadable"
