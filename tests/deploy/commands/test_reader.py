"""What the command line says of what the reader did, of pictures that are not read, and of other files."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

Gray = Callable[[str, int], Path]
Call = Callable[..., Result]


def table(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.stdout)))


def statuses(result: Result) -> dict[str, str]:
    return {Path(row["path"]).name: row["status"] for row in table(result)}


def test_notes_are_said_once_counted_and_kept_in_json(tiny: Path, tmp_path: Path, call: Call) -> None:
    for i in range(3):
        Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / f"{i}.png")
    said = "bit depth: no value of this 16-bit image reaches 4096; does the camera deliver 12 bits?"
    result = call("check", tiny, tmp_path)
    lines = [line for line in result.stderr.splitlines() if "bit depth" in line]
    assert lines == [f"{tmp_path / '0.png'}: {said}", f"3 images: {said}"]
    assert call("check", tiny, tmp_path, "-v").stderr.count("bit depth") == 4
    assert "bit depth" not in call("check", tiny, tmp_path, "-q").stderr
    rows = [json.loads(line) for line in call("score", tiny, tmp_path, "-f", "jsonl").stdout.splitlines()]
    assert [row["notes"] for row in rows] == [[said]] * 3


def test_pictures_that_nobody_can_read_fail_and_other_files_are_counted(
    tiny: Path, gray: Gray, tmp_path: Path, call: Call
) -> None:
    """They were passed over in silence, with exit code 0."""
    gray("parts/a.png", 51)
    (tmp_path / "parts/b.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))
    (tmp_path / "parts/c.dcm").write_bytes(bytes(128) + b"DICM" + bytes(60))
    (tmp_path / "parts/d.txt").touch()
    result = call("check", tiny, tmp_path / "parts")
    assert result.exit_code == 2
    assert statuses(result) == {"b.heic": "error", "c.dcm": "error"}
    assert "c.dcm: a DICOM picture, which is not read; save it as PNG" in result.stderr
    assert "left alone: 1 .txt" in result.stderr
    assert "left alone" not in call("check", tiny, tmp_path / "parts", "-q").stderr


def test_twelve_bits_by_the_files_own_word_need_no_option(tiny: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 4095\n" + (b"\x0c\x30" * 64))  # 0xC30 >> 4 is 195
    (row,) = table(call("score", tiny, tmp_path / "a.pgm"))
    assert float(row["score"]) == pytest.approx(195 / 255)


@pytest.mark.parametrize("megabytes", ["1", "500"])
def test_the_memory_that_is_given_changes_no_row(
    tiny: Path, gray: Gray, tmp_path: Path, call: Call, megabytes: str
) -> None:
    parts = gray("parts/a.png", 51).parent
    rows = [
        [{**row, "ms": ""} for row in table(call("score", tiny, parts, *options))]
        for options in ([], ["--max-memory", megabytes])
    ]
    assert rows[0] == rows[1]
    assert call("score", tiny, parts, "--max-memory", "0").exit_code == 2
