"""`onlygood doctor` as it is typed: words, JSON and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_files import save_noise
from typer.testing import Result

Call = Callable[..., Result]


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "good").mkdir()
    for seed in range(40):
        save_noise(tmp_path / f"good/{seed * 7919 % 1000:03}.png", seed)
    return tmp_path / "good"


def test_an_unreadable_file_is_a_problem_and_two(call: Call, good: Path) -> None:
    assert call("doctor", good, "--data-only").exit_code == 0
    (good / "broken.png").write_bytes(b"no image")
    result = call("doctor", good, "--data-only")
    assert result.exit_code == 2
    assert result.stdout.startswith("PROBLEM  unreadable\n  seen: 1 of 41 files cannot be read")
    assert "broken.png" in result.stdout
    assert "40 images: 1 problem" in result.stdout


def test_json_says_the_same(call: Call, good: Path) -> None:
    (good / "broken.png").write_bytes(b"no image")
    said = json.loads(call("doctor", good, "--data-only", "--json", "-q").stdout)
    assert (said["images"], said["unreadable"], said["worst"], said["network"]) == (40, 1, "problem", False)
    (found,) = [finding for finding in said["findings"] if finding["check"] == "unreadable"]
    assert found["files"] == [str(good / "broken.png")]
    assert {"level", "seen", "why", "remedy", "count"} <= found.keys()


def test_a_sheet_needs_the_network(call: Call, good: Path, tmp_path: Path) -> None:
    result = call("doctor", good, "--data-only", "--sheet", tmp_path / "odd.png")
    assert result.exit_code == 2
    assert "--sheet needs the network" in result.stderr
    result = call("doctor", good, "--sheet", tmp_path / "odd.jpg")
    assert result.exit_code == 2
    assert "odd.jpg: the picture's name ends in .png" in result.stderr


def test_what_fit_leaves_out_is_left_out_here(call: Call, good: Path, tmp_path: Path) -> None:
    """Images of a list of marks, and what lies outside a mask."""
    odd = sorted(good.iterdir())[3]
    save_noise(odd, 1, (10, 60, 3))  # of another shape
    marks, roi = tmp_path / "marks.csv", tmp_path / "roi.json"
    marks.write_text(f"path,label\n{odd},bad\n")
    roi.write_text('{"width": 30, "height": 20, "polygons": [[[0, 0], [14, 0], [14, 20], [0, 20]]]}')

    def found(*more: object) -> set[str]:
        said = call("doctor", good, "--data-only", "--json", *more)
        assert said.exit_code == 0, said.stderr
        return {finding["check"] for finding in json.loads(said.stdout)["findings"]}

    assert "sizes" in found()
    assert "sizes" not in found("--exclude", marks)
    said = call("doctor", good, "--data-only", "--roi", roi)
    assert said.exit_code == 0
    assert "50% of each image is looked at" in said.stderr


def test_the_encoder_is_the_one_that_fit_would_train(call: Call, good: Path) -> None:
    result = call("doctor", good, "--encoder", "smal")
    assert result.exit_code == 2
    assert "did you mean 'small'" in result.stderr
