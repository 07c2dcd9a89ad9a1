"""Rows that outlive their run: --resume, its lock and copies; outputs on full disks, pipes and devices."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from onlygood.runtime.rows.ledger import Ledger
from onlygood.runtime.rows.verdicts import Settings

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]


def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "onlygood", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, **options)  # noqa: S603


def without_time(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) | {"ms": None} for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("command", ["score", "check"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_run_cut_anywhere_goes_on_to_the_same_rows(
    call: Call, tiny: Path, parts: Path, command: str, kept: float
) -> None:
    out = parts.parent / "rows.jsonl"
    whole = call(command, tiny, parts, "-o", out, "--resume")
    expected = without_time(out)
    assert len(expected) == 4
    out.write_bytes(out.read_bytes()[: int(kept * out.stat().st_size)])
    resumed = call(command, tiny, parts, "-o", out, "--resume")
    assert without_time(out) == expected
    assert resumed.exit_code == whole.exit_code
    assert resumed.stderr.splitlines()[-1].startswith("4 images, 1 anomalous, 1 unreadable in ")


def test_resume_judges_again_what_has_changed(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    out, image = tmp_path / "rows.jsonl", gray("x.png", 51)
    arguments = ("check", tiny, image, "-o", out, "--resume")
    assert call(*arguments).exit_code == 0
    gray("x.png", 250)
    os.utime(image, ns=(1, 1))
    assert call(*arguments).exit_code == 1
    assert call(*arguments).exit_code == 1  # remembered
    assert call(*arguments, "--threshold", "0.99").exit_code == 0
    assert [row["status"] for row in without_time(out)] == ["normal", "anomalous", "normal"]


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.9, 1.0])
def test_a_run_by_tiles_goes_on_to_the_same_rows(
    call: Call, tiny: Path, parts: Path, tmp_path: Path, kept: float
) -> None:
    """Each image has a threshold of its own: of one tile .85, of several .9."""
    Image.new("L", (20, 20), 222).save(parts / "large.png")
    out = tmp_path / "rows.jsonl"
    arguments = ("score", tiny, parts, "-o", out, "--resume", "--tile", "8")
    whole = call(*arguments)
    expected = without_time(out)
    assert {row["threshold"] for row in expected if row["status"] != "error"} == {0.85, 0.9}
    out.write_bytes(out.read_bytes()[: int(kept * out.stat().st_size)])
    resumed = call(*arguments)
    assert without_time(out) == expected
    assert resumed.stderr.splitlines()[-1].split(" in ")[0] == whole.stderr.splitlines()[-1].split(" in ")[0]


@pytest.mark.parametrize(
    "other",
    [
        ["--tile", "9"],
        ["--tile", "8", "--overlap", "0.5"],
        ["--tile", "8", "--max-false-alarms", "0.2"],
        ["--tile", "8", "--threshold", "0.85"],
        ["--tile", "8", "--any-frame"],
        [],
    ],
)
def test_rows_of_other_tiles_do_not_count(
    call: Call, tiny: Path, gray: Gray, tmp_path: Path, other: list[str]
) -> None:
    """The image is one tile: score and threshold alone do not tell the runs apart."""
    image, out = gray("x.png", 51), tmp_path / "rows.jsonl"
    arguments = ("score", tiny, image, "-o", out, "--resume")
    call(*arguments, "--tile", "8")
    call(*arguments, "--tile", "8")
    assert len(without_time(out)) == 1
    assert "1 image, 0 anomalous" in call(*arguments, *other).stderr
    (first, second) = without_time(out)
    assert (first["score"], first.get("tiling")) != (second["score"], second.get("tiling")) or other[-1] == (
        "--any-frame"
    )


def test_resume_tries_unreadable_images_again(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    out, image = tmp_path / "rows.jsonl", gray("x.png", 51)
    too_large = ("score", tiny, image, "-o", out, "--resume", "--max-pixels", "63")
    assert [call(*too_large).exit_code, call(*too_large).exit_code] == [2, 2]
    assert call(*too_large[:-2]).exit_code == 0
    assert [row["status"] for row in without_time(out)] == ["error", "normal"]


@pytest.mark.parametrize("damage", ["missing", "truncated"])
@pytest.mark.parametrize("command", ["score", "check"])
def test_resume_mends_the_copies_of_an_earlier_run(
    call: Call, tiny: Path, parts: Path, command: str, damage: str
) -> None:
    arguments = (command, tiny, parts, "-o", parts.parent / "rows.jsonl", "--resume")
    arguments += ("--copy-flagged", parts.parent / "flagged")
    call(*arguments)
    (copy,) = (parts.parent / "flagged").rglob("b.png")
    rows = (parts.parent / "rows.jsonl").read_bytes()
    copy.unlink() if damage == "missing" else copy.write_bytes(copy.read_bytes()[:-1])
    call(*arguments)
    assert copy.read_bytes() == (parts / "b.png").read_bytes()
    assert (parts.parent / "rows.jsonl").read_bytes() == rows


def test_a_ledger_that_is_being_written_is_left_to_its_run(
    call: Call, tiny: Path, parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rows.jsonl"
    with Ledger(out, Settings("abcdef012345", 0.85, 16)):
        result = call("score", tiny, parts, "-o", out, "--resume")
    assert result.exit_code == 2
    assert f"is being written by another run (process {os.getpid()})" in result.stderr
    assert out.read_bytes() == b""


def test_two_runs_on_one_ledger_write_each_row_once(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    paths = [gray(f"in/{i}.png", 51) for i in range(100)]
    arguments = ("score", tiny, tmp_path / "in", "-o", tmp_path / "rows.jsonl", "--resume")
    runs = [start(*arguments) for _ in range(3)]
    for run in runs:
        run.communicate()
    assert {run.returncode for run in runs} <= {0, 2}
    assert 0 in {run.returncode for run in runs}
    assert sorted(row["path"] for row in without_time(tmp_path / "rows.jsonl")) == sorted(map(str, paths))


def test_an_output_that_is_an_input_is_refused_untouched(
    call: Call, tiny: Path, parts: Path, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text(f"{parts}/a.png\n")
    (tmp_path / "link.csv").symlink_to(parts / "b.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for output, images in (
        (tiny, [parts]),
        (parts / "a.png", [parts / "a.png"]),
        (parts / "sub/d.png", [parts]),
        (tmp_path / "link.csv", [parts]),
        (tmp_path / "list", ["--files-from", tmp_path / "list"]),
    ):
        result = call("score", tiny, *images, "-o", output)
        assert result.exit_code == 2
        assert "is read, and -o would overwrite it" in result.stderr
        for resume in (tiny, parts / "a.png"):
            assert call("score", tiny, *images, "-o", resume, "--resume").exit_code == 2
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_full_disk_is_two_and_leaves_no_half_file(tiny: Path, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    many = [str(parts / "a.png")] * 400
    line = 'ulimit -f 8; exec "$0" -m onlygood score "$@"'
    for output in ("out/rows.csv", "out/rows.jsonl"):
        more = ["--resume"] if output.endswith("jsonl") else []
        command = ["/bin/sh", "-c", line, sys.executable, tiny, *many, "-o", tmp_path / output, *more]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert result.returncode == 2
        assert result.stderr.splitlines()[-1] == f"onlygood: {tmp_path / output}: File too large"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rows.jsonl"]
    assert all(row["status"] == "normal" for row in without_time(tmp_path / "out/rows.jsonl"))


def test_devices_and_pipes_are_written_into(tiny: Path, parts: Path, tmp_path: Path) -> None:
    line = '"$0" -m onlygood score "$1" "$2" -o /dev/stdout | cat'
    command = ["/bin/sh", "-c", line, sys.executable, tiny, parts / "a.png"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert [row.split(",")[1] for row in result.stdout.splitlines()] == ["status", "normal"]
    log = tmp_path / "log.csv"
    log.write_text("before\n")
    appending = line.replace("| cat", f">>{log}")
    subprocess.run(["/bin/sh", "-c", appending, *command[3:]], check=True)  # noqa: S603
    assert log.read_text().splitlines()[::2] == ["before", log.read_text().splitlines()[2]]
    os.mkfifo(tmp_path / "fifo")
    with start("score", tiny, parts / "a.png", "-o", tmp_path / "fifo"):
        assert (tmp_path / "fifo").read_text().startswith("path,status")
