"""`pretrain` for the tasks that need more than a folder of images: a few labels, or a video."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from moving import video
from PIL import Image
from safetensors import safe_open
from typer.testing import Result

from onlygood.runtime.images.files import mark_output

SETTINGS = ["batch_size=4", "threads=1", "precision=fp32"]
QUICK = ["--steps", "2", "-q", *(part for key in SETTINGS for part in ("--set", f"training.{key}"))]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))


def save_noise(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


def header(encoder: Path) -> dict[str, object]:
    with safe_open(encoder, framework="np") as file:
        found: dict[str, object] = json.loads(file.metadata()["onlygood"])
    return found


def test_a_few_labels(tmp_path: Path, call: Callable[..., Result]) -> None:
    images, encoder = save_noise(tmp_path / "images", 8), tmp_path / "e.safetensors"
    for name in ("bolt", "screw"):
        save_noise(tmp_path / "labelled" / name, 3)
    result = call("pretrain", "s4l", images, "--labelled", tmp_path / "labelled", "-o", encoder, *QUICK)
    assert result.exit_code == 0
    assert header(encoder) == {"encoder": "small", "channels": 3, "standardize": "fixed"}


def test_neither_masks_nor_reports_are_learned_from(tmp_path: Path, call: Callable[..., Result]) -> None:
    images = save_noise(tmp_path / "images", 5)
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(images / "3_mask.png")
    mark_output(images / "report", "report")
    save_noise(images / "report" / "overlays", 2)
    loud = [option for option in QUICK if option != "-q"]
    result = call("pretrain", "rotation", images, "-o", tmp_path / "e.safetensors", *loud)
    assert "5 images, 0 unreadable" in result.stderr
    assert "1 masks lie beside their images, such as 3_mask.png" in result.stderr
    assert "report: passed over, onlygood wrote it" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["s4l"], "--labelled"),
        (["rotation", "--labelled", "labelled"], "no use for labelled images"),
        (["s4l", "--labelled", "nowhere"], "no such folder"),
        (["rotation", "--set", "tracks.size=32"], "begin with training., task., input."),
        (["video-triplet"], "4 frames are fewer than the 30"),
        (["motion-segmentation"], "no square of a frame has a moving part"),
        (["motion-segmentation", "--set", "tracks.size=32"], "begin with training., task., input., motion."),
    ],
)
def test_what_is_missing_or_too_much(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    call: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_noise(tmp_path / "images", 4)
    save_noise(tmp_path / "labelled" / "bolt", 1)
    save_noise(tmp_path / "labelled" / "screw", 1)
    result = call("pretrain", arguments[0], "images", *arguments[1:], *QUICK)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_folder_of_frames(tmp_path: Path, call: Callable[..., Result]) -> None:
    """Tracks are cut out into the work folder and found there when resuming."""
    frames, encoder = tmp_path / "frames", tmp_path / "e.safetensors"
    frames.mkdir()
    for index, frame in enumerate(video()):
        Image.fromarray(frame).save(frames / f"{index}.png")
    cut = ["size=40", "length=4", "patch=0.5", "every=4", "moving=[0.15,0.75]"]
    options = [part for key in cut for part in ("--set", f"tracks.{key}")]
    result = call("pretrain", "video-triplet", frames, "-o", encoder, *QUICK, *options)
    assert result.exit_code == 0
    assert "tracks do not fill a batch" in result.stderr
    tracks = sorted((tmp_path / "e.work" / "tracks").iterdir())
    assert tracks
    with Image.open(tracks[0]) as track:
        assert track.size == (80, 40)
    before = encoder.read_bytes()
    result = call("pretrain", "video-triplet", frames, "-o", encoder, "--resume", *QUICK, *options)
    assert result.exit_code == 0
    assert encoder.read_bytes() == before

    one = [part for key in [*cut, "every=100"] for part in ("--set", f"tracks.{key}")]
    result = call("pretrain", "video-triplet", frames, "-o", tmp_path / "one.safetensors", *QUICK, *one)
    assert result.exit_code == 2
    assert "one track has no other" in " ".join(result.stderr.split())


@pytest.mark.parametrize("joined", [False, True])
def test_frames_and_masks_of_what_moves(joined: bool, tmp_path: Path, call: Callable[..., Result]) -> None:
    """They are cut out into the work folder and found there when resuming; other tasks may see the frames."""
    frames, encoder = tmp_path / "frames", tmp_path / "e.safetensors"
    frames.mkdir()
    for index, frame in enumerate(video(4)):
        Image.fromarray(frame).save(frames / f"{index}.png")
    options = [part for key in ("size=32", "every=1") for part in ("--set", f"motion.{key}")]
    task = "motion-segmentation"
    if joined:
        options += ["--set", f"task.parts=[{{name: rotation}}, {{name: {task}}}]"]
        task = "multi-task"
    result = call("pretrain", task, frames, "-o", encoder, *QUICK, *options)
    assert result.exit_code == 0
    squares = sorted((tmp_path / "e.work" / "motion").glob("*.png"))
    assert len(squares) == 4
    with Image.open(squares[0]) as square:
        assert square.size == (64, 32)
        assert set(np.unique(np.asarray(square)[:, 32:])) <= {0, 128, 255}
    before = encoder.read_bytes()
    result = call("pretrain", task, frames, "-o", encoder, "--resume", *QUICK, *options)
    assert result.exit_code == 0
    assert encoder.read_bytes() == before
