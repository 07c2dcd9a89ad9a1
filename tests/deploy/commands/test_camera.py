"""`camera` as it is typed, on a recording and on a device that is made up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from onlygood import Detector
from onlygood.deploy.cli import app
from onlygood.deploy.commands import camera
from onlygood.runtime.camera.capture import NoVideoError, Source

Call = Callable[..., Result]
LEVELS = [60, 70, 240, 245, 80, 90, 100, 110, 120, 130]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten even frames, ten a second; the third and fourth are anomalous."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path_factory.mktemp("video") / "line.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for level in LEVELS:
        video.write(np.full((48, 64, 3), level, np.uint8))
    video.release()
    return path


class Device:
    """An endless camera whose frames get brighter."""

    def __init__(self) -> None:
        self.level = 50

    def read(self) -> tuple[bool, Any]:
        self.level = min(self.level + 1, 200)
        return True, np.full((20, 30, 3), self.level, np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source, "open", lambda _: Device())


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_frame_of_a_recording_gets_the_verdict_of_its_pixels(
    call: Call, tiny: Path, recording: Path
) -> None:
    result = call("camera", tiny, recording)
    found = rows(result)
    assert [row["frame"] for row in found] == list(range(1, 11))
    assert [row["seconds"] for row in found] == [i / 10 for i in range(10)]
    expected = [Detector.load(tiny).score(np.full((48, 64, 3), level, np.uint8)) for level in LEVELS]
    for row, right in zip(found, expected, strict=True):
        assert row["score"] == pytest.approx(right.score, abs=2 / 255)  # MJPEG is off by a level
        assert (row["status"] == "anomalous") == right.anomalous
        assert (row["path"], row["width"], row["height"]) == (str(recording), 64, 48)
    assert result.stderr == "10 images, 2 anomalous, 0 unreadable\n"
    assert result.exit_code == 0


def test_some_frames_and_no_more_than_so_many(call: Call, tiny: Path, recording: Path) -> None:
    assert [row["frame"] for row in rows(call("camera", tiny, recording, "--every", 0.3))] == [1, 4, 7, 10]
    assert len(rows(call("camera", tiny, recording, "--count", 3))) == 3
    limited = call("camera", tiny, recording, "--threshold", 0.3)
    assert sum(row["anomalous"] for row in rows(limited)) == sum(level > 0.3 * 255 for level in LEVELS)


def test_flagged_frames_are_kept_as_they_came(
    call: Call, tiny: Path, recording: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    saved = [
        row["saved"]
        for row in rows(call("camera", tiny, recording, "--save-flagged", kept))
        if "saved" in row
    ]
    assert sorted(saved) == sorted(map(str, kept.glob("*.png")))
    assert len(saved) == 2
    for path in saved:
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (48, 64, 3)
        assert pixels.mean() > 230


def test_rows_are_appended_and_wait_for_a_full_disk(
    call: Call, tiny: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, tries, real = tmp_path / "rows.jsonl", iter(range(100)), camera.WholeRows

    def full(*arguments: Any) -> Any:
        if 2 <= next(tries) < 5:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(camera, "WholeRows", full)
    result = call("camera", tiny, recording, "-o", out)
    assert [json.loads(line)["frame"] for line in out.open()] == list(range(1, 11))
    assert result.stderr.count("No space left on device; they wait, nothing is lost") == 1
    assert result.stderr.count("rows are written again") == 1
    call("camera", tiny, recording, "-o", out, "--count", 1)
    assert len(out.read_text().splitlines()) == 11


@pytest.mark.usefixtures("device")
def test_each_line_gets_a_verdict_with_its_words(tiny: Path) -> None:
    """The words may be anything: they are data."""
    said = "part 17\n=1+1\n\n"
    result = CliRunner().invoke(app, ["camera", str(tiny), "0", "--on-line", "-q"], input=said)
    found = rows(result)
    assert [row["trigger"] for row in found] == ["part 17", "=1+1", ""]
    assert [row["status"] for row in found] == ["normal"] * 3
    frames = [row["frame"] for row in found]
    assert frames == sorted(set(frames))
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("options", [[], ["--every", "0.01"]])
def test_a_live_source_gives_newer_and_newer_frames(call: Call, tiny: Path, options: list[str]) -> None:
    frames = [row["frame"] for row in rows(call("camera", tiny, 0, "--count", 4, *options))]
    assert len(frames) == 4
    assert frames == sorted(set(frames))


def test_where_no_frame_comes_a_row_says_so_without_the_password(
    call: Call, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Source) -> Device:
        raise NoVideoError("it cannot be opened")

    monkeypatch.setattr(Source, "open", gone)
    address = "rtsp://ada:secret@10.0.0.7/one"
    result = call("camera", tiny, address, "--count", 2, "--patience", 0.02)
    assert [row["error"] for row in rows(result)] == ["no frame came within 0.02 s"] * 2
    assert {row["path"] for row in rows(result)} == {"rtsp://10.0.0.7/one"}
    assert "rtsp://10.0.0.7/one: no picture: it cannot be opened" in result.stderr
    assert "secret" not in result.output
    assert result.exit_code == 2


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    (tmp_path / "text.mp4").write_text("no video")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.mp4"], "no such recording, device or address"),
        (["text.mp4"], "is no recording that OpenCV can read"),
        (["text.mp4", "--on-line"], "a recording does not wait for lines"),
        (["0", "--on-line", "--every", "1"], "give either --every or --on-line"),
        (["text.mp4", "-o", "text.mp4"], "-o would overwrite it"),
        (["0", "--save-flagged", "text.mp4"], "is a file; name a folder"),
        (["0", "--every", "nan"], "is not a number above"),
    ],
)
def test_what_cannot_work_is_said_before(
    *, call: Call, tiny: Path, wrong: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.chdir(wrong)
    result = call("camera", tiny, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""
