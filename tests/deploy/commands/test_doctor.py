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
