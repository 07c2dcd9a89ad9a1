"""Names of files as somebody hostile would choose them: from the folder to every table, page and command."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from typer.testing import Result

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]

NAMES = [
    b"plain.png",
    b"new\nline.png",
    b"carriage\rreturn.png",
    b"\xff\xfe no text.png",
    b"half \xed\xa0\x80 a pair.png",  # a surrogate, in UTF-8 as it should not be
    b"-rf.png",
    b"--help.png",
    b"-",
    b"=1+1.png",
    b"=cmd|' calc'!A0.png",
    b"@SUM(1).png",
    b"\t=1.png",
    b"\xef\xbc\x9d1.png",  # a wide =
    b'a,b";c.png',
    b"\xe2\x80\xaegnp.exe.png",  # reads from right to left
    b"\x1b]0;title\x07\x1b[2J.png",
    b"%s {path} $(reboot) `id`.png",
    b"<img src=x onerror=alert(1)>.png",
    b"</script><script>alert(1)</script>.png".replace(b"/", b"\\"),
    b" blanks .png",
    b"x" * 251 + b".png",
    "\u00e9".encode() * 125 + b".png",
    "\u00e9.png".encode(),
    "e\u0301.png".encode(),  # the same to the eye
]
IMAGES = [name for name in NAMES if name.endswith(b".png")]


@pytest.fixture
def folder(tmp_path: Path, gray: Gray) -> Path:
    """All of them, every other one anomalous, in a folder with a name of the same kind."""
    data = [gray(name, value).read_bytes() for name, value in (("good.png", 51), ("bad.png", 240))]
    below = tmp_path / "in" / "=a\n<b>"
    below.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        Path(os.fsdecode(os.fsencode(below) + b"/" + name)).write_bytes(data[number % 2])
    return below


def status(name: bytes) -> str:
    return "anomalous" if NAMES.index(name) % 2 else "normal"


def records(result: Result) -> Iterator[dict[str, str]]:
    text = result.stdout_bytes.decode("utf-8", "surrogateescape")
    return iter(csv.DictReader(io.StringIO(text, newline="")))


def base(path: str) -> bytes:
    return os.fsencode(Path(path).name)


def test_csv_holds_each_name_as_it_is(call: Call, tiny: Path, folder: Path) -> None:
    rows = {base(row["path"]): row["status"] for row in records(call("score", tiny, folder, "-f", "csv"))}
    assert rows == {name: status(name) for name in IMAGES}


def test_csv_for_spreadsheets_holds_no_formula(
    call: Call, tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    exact, safe = (
        [row["path"] for row in records(call("score", tiny, ".", "-f", "csv", *more))]
        for more in ((), ("--spreadsheet-safe",))
    )
    assert {os.fsencode(path) for path in exact} == set(IMAGES)
    changed = {after for before, after in zip(exact, safe, strict=True) if before != after}
    assert changed == {"'" + before for before in exact if before[0] in "=+-@\t\r\n＝＋－＠"}
    assert len(changed) == 7


@pytest.mark.parametrize("format", ["jsonl", "json"])
def test_json_is_ascii_and_holds_each_name(call: Call, tiny: Path, folder: Path, format: str) -> None:
    said = call("score", tiny, folder, "-f", format).stdout_bytes
    rows = [json.loads(line) for line in said.splitlines()] if format == "jsonl" else json.loads(said)
    assert {base(row["path"]): row["status"] for row in rows} == {name: status(name) for name in IMAGES}
    assert said.isascii()
    assert not re.search(rb"[^\x20-\x7e\n]", said)


def test_tables_for_people_are_a_line_for_each(call: Call, tiny: Path, folder: Path) -> None:
    said = call("score", tiny, folder, "-f", "text").stdout
    assert len(said.splitlines()) == 1 + len(IMAGES)
    assert all(line.isprintable() for line in said.splitlines())
    judged = call("check", tiny, folder, "-f", "text", "-v")
    assert len(judged.stdout.splitlines()) == 1 + sum(status(name) == "anomalous" for name in IMAGES)
    assert all(line.isprintable() for line in judged.stderr.splitlines())


def test_a_run_is_resumed_over_each_name(call: Call, tiny: Path, folder: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    call("score", tiny, folder, "-o", whole, "--resume")
    lines = whole.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:10]) + lines[10][:30])
    assert call("score", tiny, folder, "-o", cut, "--resume").exit_code == 0
    without_times = [
        [{key: value for key, value in json.loads(line).items() if key != "ms"} for line in path.open()]
        for path in (whole, cut)
    ]
    assert without_times[0] == without_times[1]


def test_lists_and_arguments_lead_to_each_file(
    call: Call, tiny: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "list"
    listed.write_bytes(b"\0".join(os.fsencode(folder) + b"/" + name for name in IMAGES))
    rows = list(records(call("score", tiny, "--files-from", listed, "-0", "-f", "csv")))
    assert [base(row["path"]) for row in rows] == IMAGES
    assert {row["status"] for row in rows} == {"normal", "anomalous"}
    monkeypatch.chdir(folder)
    rows = list(records(call("score", tiny, "-f", "csv", "--", "-rf.png", "--help.png")))
    assert [row["path"] for row in rows] == ["-rf.png", "--help.png"]


def test_pictures_and_copies_stay_in_their_folders(
    call: Call, tiny: Path, folder: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    heat, copies = tmp_path / "heat", tmp_path / "copies"
    result = call("score", tiny, folder, "--heatmaps", heat, "--copy-flagged", copies, "-f", "jsonl")
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len({row["overlay"] for row in rows}) == len(IMAGES)
    for row in rows:
        overlay = Path(row["overlay"])
        assert overlay.read_bytes().startswith(b"\x89PNG")
        assert heat in overlay.parents
        assert all(part.isprintable() for part in overlay.relative_to(heat).parts)
    copied = {os.fsencode(path.name) for path in copies.rglob("*.png")}
    assert copied == {name for name in IMAGES if status(name) == "anomalous"}
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_golden_tables_find_each_file(call: Call, tiny: Path, folder: Path) -> None:
    assert call("score", tiny, folder, "-o", folder / "scores.csv").exit_code == 0
    told = call("verify", tiny, "--golden", folder)
    assert told.exit_code == 0
    assert f"{len(IMAGES)} scores within" in told.stdout


def test_watch_tells_each_name_to_rows_and_to_commands(
    call: Call, tiny: Path, folder: Path, tmp_path: Path
) -> None:
    """A name stays one argument, whatever it holds."""
    said, flagged, rows = tmp_path / "said", tmp_path / "flagged", tmp_path / "rows.jsonl"
    tell = tmp_path / "tell.py"
    words = "b'\\0'.join(map(os.fsencode, sys.argv[1:])) + b'\\0\\0'"
    tell.write_text(f"import os, sys\nopen({str(said)!r}, 'ab').write({words})\n")
    command = f"{sys.executable} -S {tell} {{path}} {{status}}"
    options = ("--once", "--settle", 0, "-o", rows, "--exec", command, "--send", "flagged")
    assert call("watch", tiny, folder.parent, *options, "--move-flagged", flagged).exit_code == 0
    bad = {name for name in IMAGES if status(name) == "anomalous"}
    told = [entry.split(b"\0") for entry in said.read_bytes().split(b"\0\0")[:-1]]
    place = os.fsencode(flagged / folder.name)
    assert sorted(told) == sorted([place + b"/" + name, b"anomalous"] for name in bad)
    assert {os.fsencode(path.name) for path in flagged.rglob("*.png")} == bad
    written = [json.loads(line) for line in rows.read_bytes().splitlines()]
    assert {base(row["path"]): row["status"] for row in written} == {name: status(name) for name in IMAGES}


def test_the_report_holds_names_as_data_alone(call: Call, tiny: Path, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert call("report", tiny, folder, "-o", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "alert(1)>" not in text
    assert "\u202e" not in text
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    images = json.loads(data)["images"]
    raw = {int(index): unquote_to_bytes(name) for index, name in images["raw"].items()}
    names = [raw.get(index, name.encode()) for index, name in enumerate(images["name"])]
    assert sorted(names) == sorted(IMAGES)
