import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from onlygood.deploy.cli import app
from onlygood.deploy.entry import BROKEN_PIPE

Gray = Callable[[str, int], Path]
MakeTiny = Callable[..., Path]


def call(*arguments: Any, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def table(result: Result) -> list[dict[str, str]]:
    text = result.stdout_bytes.decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def statuses(result: Result) -> dict[str, str]:
    return {Path(row["path"]).name: row["status"] for row in table(result)}


EVERYTHING = {"a.png": "normal", "b.png": "anomalous", "c.png": "error", "d.png": "normal"}


# --- rows, summaries and exit codes


def test_score_prints_a_row_an_image_and_a_summary(tiny: Path, parts: Path) -> None:
    result = call("score", tiny, parts)
    assert statuses(result) == EVERYTHING
    first = table(result)[0]
    assert float(first["score"]) == pytest.approx(0.2)
    assert (first["threshold"], first["width"], first["height"]) == ("0.85", "8", "8")
    assert (first["anomalous"], first["p_value"]) == ("0", "0.75")  # 0.2 in float32 is a little above 4/20
    assert "c.png: text, no picture" in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("4 images, 1 anomalous, 1 unreadable in ")
    assert last.endswith(" img/s)")
    assert result.exit_code == 2


def test_check_prints_only_what_is_not_normal(tiny: Path, parts: Path) -> None:
    assert statuses(call("check", tiny, parts)) == {"b.png": "anomalous", "c.png": "error"}


@pytest.mark.parametrize(
    ("images", "options", "codes"),
    [
        ("a", [], (0, 0, 0)),
        ("ab", [], (0, 1, 0)),
        ("ac", [], (2, 2, 2)),
        ("bc", [], (2, 2, 2)),
        ("ac", ["--on-error", "skip"], (0, 0, 0)),
        ("bc", ["--on-error", "skip"], (0, 1, 0)),
        ("c", ["--on-error", "skip"], (2, 2, 2)),
        ("x", [], (2, 2, 2)),  # there is no such file
        ("", [], (2, 2, 2)),
    ],
)
def test_exit_codes(tiny: Path, parts: Path, images: str, options: list[str], codes: tuple[int, ...]) -> None:
    paths = [parts / f"{name}.png" for name in images]
    commands = (["score"], ["check"], ["check", "--exit-zero"])
    assert tuple(call(*command, tiny, *paths, *options).exit_code for command in commands) == codes


@pytest.mark.parametrize(
    "arguments",
    [
        ["score"],
        ["score", "{model}", "--format", "xml"],
        ["score", "{model}", "{parts}", "--threshold", "1", "--max-false-alarms", "0.1"],
        ["score", "{model}", "{parts}", "--resume"],
        ["score", "{model}", "{parts}", "--resume", "-o", "{parts}/x.csv", "-f", "csv"],
        ["score", "{model}", "{parts}", "--bit-depth", "11"],
        ["score", "{model}", "{parts}", "--max-false-alarms", "0.001"],
        ["score", "{model}", "{parts}", "--provider", "abacus"],
        ["score", "{model}", "{parts}", "--sha256", "00"],
        ["score", "{model}", "{parts}", "-o", "{parts}/no/such/folder.csv"],
        ["score", "{model}", "--files-from", "{parts}/missing.txt"],
        ["score", "{parts}/a.png", "{parts}"],
        ["score", "{model}", "{empty}"],
        ["nonsense"],
    ],
)
def test_usage_errors_are_two_and_say_why(
    tiny: Path, parts: Path, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"model": tiny, "parts": parts, "empty": tmp_path / "empty"}
    result = call(*(argument.format(**names) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_quiet_prints_rows_only(tiny: Path, parts: Path) -> None:
    assert call("score", tiny, parts, "-q").stderr == ""


def test_verbose_tells_settings_and_notes(tiny: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "deep.png")
    stderr = call("score", tiny, tmp_path / "deep.png", "-v").stderr
    assert "threshold 0.85" in stderr
    assert "does the camera deliver 12 bits?" in stderr


def test_a_score_that_is_no_number_is_an_error_never_normal(make_tiny: MakeTiny, gray: Gray) -> None:
    result = call("check", make_tiny(score="ratio"), gray("black.png", 0))
    assert result.exit_code == 2
    (row,) = table(result)
    assert (row["status"], row["score"], row["anomalous"]) == ("error", "", "")


# --- what is judged


def test_threshold_and_rate_move_the_verdict(tiny: Path, gray: Gray) -> None:
    image = gray("x.png", 224)  # 0.878
    assert call("check", tiny, image).exit_code == 1
    assert call("check", tiny, image, "--max-false-alarms", "0.05").exit_code == 0
    assert call("check", tiny, image, "--max-false-alarms", "0.5").exit_code == 1
    assert call("check", tiny, image, "--threshold", "0.88").exit_code == 0
    assert call("check", tiny, image, "--threshold", "-1").exit_code == 1


def test_a_threshold_needs_no_calibration_images(make_tiny: MakeTiny, metadata_with: Any, gray: Gray) -> None:
    few = metadata_with(calibration={"scores": [0.1, 0.2], "max_false_alarms": 0.01})
    model, image = make_tiny(metadata=few), gray("x.png", 51)
    assert "smallest rate that these allow is 0.3334" in call("score", model, image).stderr
    assert call("score", model, image, "--threshold", "0.5").exit_code == 0


def test_bit_depth_is_how_deep_images_are_read(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 2048, np.uint16)).save(path)
    assert [
        float(table(call("score", tiny, path, *depth))[0]["score"]) * 255
        for depth in ([], ["--bit-depth", "12"])
    ] == pytest.approx([8, 128])


def test_max_pixels_refuses_large_images(tiny: Path, gray: Gray) -> None:
    path = gray("x.png", 51)
    assert call("score", tiny, path, "--max-pixels", "64").exit_code == 0
    result = call("score", tiny, path, "--max-pixels", "63")
    assert "more than the limit of 63" in table(result)[0]["error"]


def test_sha256_is_compared(tiny: Path, gray: Gray) -> None:
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert call("score", tiny, gray("x.png", 51), "--sha256", digest).exit_code == 0


@pytest.mark.parametrize("workers", [1, 7])
def test_workers_and_threads_change_nothing_but_the_time(tiny: Path, parts: Path, workers: int) -> None:
    result = call("score", tiny, parts, "--workers", workers, "--threads", "2", "--provider", "CPU")
    assert statuses(result) == EVERYTHING


# --- which images


def test_folders_and_patterns(tiny: Path, parts: Path) -> None:
    (parts / "link").symlink_to(parts / "sub")
    assert "d.png" not in statuses(call("score", tiny, parts, "--no-recursive"))
    assert set(statuses(call("score", tiny, parts, "--exclude", "sub/*", "--exclude", "[ab].*"))) == {"c.png"}
    assert len(table(call("score", tiny, parts))) == 4
    linked = [Path(row["path"]).parent.name for row in table(call("score", tiny, parts, "--follow-symlinks"))]
    assert sorted(linked) == ["link", "parts", "parts", "parts"]  # each folder once


def test_lists_from_stdin_and_files(tiny: Path, parts: Path, tmp_path: Path) -> None:
    names = f"{parts}/a.png\n\n{parts}/sub\n".encode()
    assert set(statuses(call("score", tiny, "-", stdin=names))) == {"a.png", "d.png"}
    assert set(statuses(call("score", tiny, "--files-from", "-", stdin=names))) == {"a.png", "d.png"}
    (tmp_path / "list").write_bytes(names)
    both = call("score", tiny, parts / "b.png", "--files-from", tmp_path / "list")
    assert list(statuses(both)) == ["b.png", "a.png", "d.png"]


def test_names_of_any_bytes_go_in_and_come_out(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    names = [b"caf\xe9.png", b'a\nb,"c".png', b"x\ry.png"]
    paths = [os.fsencode(gray(os.fsdecode(name), 51)) for name in names]
    listed = b"\0".join(paths) + b"\0"
    from_csv = [os.fsencode(row["path"]) for row in table(call("score", tiny, "-0", "-", stdin=listed))]
    assert from_csv == paths
    out = tmp_path / "rows.jsonl"
    assert call("score", tiny, "-0", "--files-from", "-", "-o", out, stdin=listed).exit_code == 0
    assert [os.fsencode(json.loads(line)["path"]) for line in out.read_bytes().splitlines()] == paths
    text = call("score", tiny, "-0", "-", "-f", "text", stdin=listed)
    assert len(text.stdout.splitlines()) == 1 + len(paths)
    assert "caf\\xe9.png" in text.stdout


# --- where rows go


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["-o", "rows.csv"], "path,status"),
        (["-o", "rows.jsonl"], '{"path": '),
        (["-o", "rows.json"], '[\n{"path": '),
        (["-o", "rows.txt"], "status  "),
        (["-o", "rows"], "path,status"),
        (["-o", "rows.csv", "-f", "jsonl"], '{"path": '),
    ],
)
def test_output_is_formatted_by_option_or_suffix(
    tiny: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], start: str
) -> None:
    monkeypatch.chdir(parts.parent)
    assert call("score", tiny, "parts", *options).stdout == ""
    assert Path(options[1]).read_text().startswith(start)


def test_output_appears_only_once_complete(tiny: Path, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "rows.csv"
    out.parent.mkdir()
    out.write_text("before")
    (tmp_path / "blocked").write_text("a file where a folder is wanted")
    failed = call("score", tiny, parts, "-o", out, "--copy-flagged", tmp_path / "blocked")
    assert failed.exit_code == 2
    assert out.read_text() == "before"
    assert list(out.parent.iterdir()) == [out]
    call("score", tiny, parts, "-o", out)
    assert len(out.read_text().splitlines()) == 5
    assert list(out.parent.iterdir()) == [out]


def test_output_through_a_link_keeps_the_link_and_a_device_stays_one(
    tiny: Path, parts: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    call("score", tiny, parts, "-o", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").exists()
    call("score", tiny, parts / "a.png", "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


def test_color_is_off_in_pipes_and_on_when_asked(tiny: Path, parts: Path) -> None:
    def colored(*options: str) -> bool:
        return "\x1b[31m" in call("score", tiny, parts, "-f", "text", *options).stdout

    assert not colored()
    assert not colored("--color", "never")
    assert colored("--color", "always")


def test_flagged_images_are_copied_under_their_own_paths(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    images = [gray("in/1/x.png", 240), gray("in/2/x.png", 250), gray("in/2/good.png", 5)]
    copies = tmp_path / "in" / "flagged"  # inside the folder that is scored
    for _ in range(2):
        result = call("score", tiny, tmp_path / "in", "--copy-flagged", copies)
        assert len(table(result)) == 3
    copied = sorted(copies.rglob("*.png"))
    assert [path.read_bytes() for path in copied] == [image.read_bytes() for image in images[:2]]


def test_folders_that_onlygood_wrote_are_read_only_by_name(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    gray("in/x.png", 240)
    copies = tmp_path / "in" / "flagged"
    assert len(table(call("score", tiny, tmp_path / "in", "--copy-flagged", copies))) == 1
    above = call("score", tiny, tmp_path / "in")  # without the option that tells where the copies are
    assert [Path(row["path"]) for row in table(above)] == [tmp_path / "in" / "x.png"]
    assert above.stderr.count(f"{copies}: passed over, onlygood wrote it") == 1
    by_name = call("score", tiny, copies)
    assert statuses(by_name) == {"x.png": "anomalous"}
    assert "passed over" not in by_name.stderr


def test_copies_do_not_mix_with_images_of_others(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    result = call("check", tiny, gray("x.png", 240), "--copy-flagged", gray("mine/a.png", 5).parent)
    assert result.exit_code == 2
    assert "not marked as written by onlygood, such as" in result.stderr
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["a.png"]


@pytest.mark.parametrize("options", [[], ["-q"], ["--on-error", "skip"], ["--exit-zero"]])
def test_a_folder_without_images_beside_others_fails_the_gate(
    tiny: Path, gray: Gray, tmp_path: Path, options: list[str]
) -> None:
    good, empty = gray("good/x.png", 5).parent, tmp_path / "emtpy"
    empty.mkdir()
    assert call("check", tiny, good, *options).exit_code == 0
    result = call("check", tiny, good, empty, *options)
    assert result.exit_code == 2
    assert f"{empty}: no images in this folder" in result.stderr
    (tmp_path / "list").write_text(f"{good}\n{empty}\n")
    assert call("check", tiny, "--files-from", tmp_path / "list", *options).exit_code == 2


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_lists_name_files_whichever_way_accents_are_composed(
    tiny: Path, gray: Gray, tmp_path: Path, forms: tuple[str, str]
) -> None:
    on_disk, in_list = (unicodedata.normalize(form, "gerät/schön.png") for form in forms)
    image = gray(on_disk, 5)
    (tmp_path / "list").write_text(str(tmp_path / in_list))
    (row,) = table(call("score", tiny, "--files-from", tmp_path / "list"))
    assert (row["status"], row["path"]) == ("normal", str(image))


# --- processes


def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "onlygood", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, **options)  # noqa: S603


def test_an_interrupt_ends_with_whole_rows_and_130(tiny: Path, gray: Gray) -> None:
    with start("score", tiny, "-", "-f", "jsonl") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = str(gray("x.png", 51)).encode() + b"\n"
        process.stdin.write(line * (100_000 // len(line)))  # more than one read; and stdin stays open
        process.stdin.flush()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate()
    assert process.returncode == 130
    assert all(json.loads(row)["status"] == "normal" for row in (first + rest).splitlines())
    assert b"Traceback" not in stderr
    assert b", 0 anomalous, 0 unreadable in " in stderr.splitlines()[-1]


def test_a_reader_that_leaves_is_no_error_message(tiny: Path, gray: Gray) -> None:
    gray("x.png", 51)
    with start("score", tiny, *[gray("x.png", 51)] * 500) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == BROKEN_PIPE
