import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.rows.ledger import Ledger
from onlygood.runtime.rows.verdicts import Row, Settings, Stamp, Status, make_writer

SETTINGS = Settings("abcdef012345", 0.85, 16)


def lines(*rows: Row) -> str:
    """The ledger's text."""
    stream = io.StringIO(newline="")
    writer = make_writer("jsonl", stream, SETTINGS)
    for row in rows:
        writer.write(row)
    return stream.getvalue()


def image(folder: Path, name: str) -> Row:
    path = folder / name
    path.write_bytes(b"x")
    return Row(path, Status.NORMAL, SETTINGS.threshold, 0.2, 0.75, stamp=Stamp.of(path))


def test_ledger_finds_what_has_not_changed(tmp_path: Path) -> None:
    file, row = tmp_path / "rows.jsonl", image(tmp_path, "caf\udce9.png")
    file.write_text(lines(row))
    assert Ledger(file, SETTINGS).find(row.path) is Status.NORMAL
    assert Ledger(file, SETTINGS).find(tmp_path / "other.png") is None
    for other in (
        SETTINGS._replace(model="0" * 12),
        SETTINGS._replace(threshold=0.9),
        SETTINGS._replace(bit_depth=12),
    ):
        assert Ledger(file, other).find(row.path) is None
    row.path.write_bytes(b"xy")
    assert Ledger(file, SETTINGS).find(row.path) is None


def test_ledger_cuts_a_torn_line_at_any_place(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [image(tmp_path, "a.png"), image(tmp_path, "b.png")]
    text = lines(*rows).encode()
    first = text.index(b"\n") + 1
    for length in range(len(text)):
        for tail in (b"", b"\0\0\0"):
            file.write_bytes(text[:length] + tail)
            if length < first:
                assert Ledger(file, SETTINGS).find(rows[0].path) is None
                assert file.read_bytes() == b""
            else:
                assert Ledger(file, SETTINGS).find(rows[0].path) is Status.NORMAL
                assert file.read_bytes() == text[:first]


@pytest.mark.parametrize(
    "text", ["my notes", "my notes\n", '{"path": "a"}\n', "[]\n", '{"path": 1, "status": 2}\n']
)
def test_ledger_leaves_other_peoples_files_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(text)
    with pytest.raises(OnlygoodError, match="line 1 is not a row"):
        Ledger(file, SETTINGS)
    assert file.read_text() == text


FOREIGN = [
    b'{"path": "x", "note": "mine"}',
    b'{"path": "x"}',
    b'{"path": "x", "status": "open", "who": "me"}',
    b'{"path": "x", "status": "open", "who": "me"}\n',
    b'{"path": "x", "mi',
    b'{"path": 7',
    b'{"paths": ["x"]}',
    b"{}",
    b'["x"]',
    b"my notes, which no newline ends",
    b"\x93\0\xff" * 100,
    b'{"path": "' + b"x" * (1 << 20),
    b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("data", FOREIGN)
def test_a_foreign_file_is_as_it_was_byte_for_byte(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "mine.jsonl"
    for before in (b"", lines(image(tmp_path, "a.png")).encode()):
        file.write_bytes(before + data)
        with pytest.raises(OnlygoodError, match="is not a row of"):
            Ledger(file, SETTINGS)
        assert file.read_bytes() == before + data


def test_only_a_regular_file_can_be_a_ledger(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(OnlygoodError, match="not a regular file"):
            Ledger(path, SETTINGS)


def test_a_second_run_is_told_who_writes(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with Ledger(file, SETTINGS) as first:
        with pytest.raises(OnlygoodError, match=rf"written by another run \(process {os.getpid()}\)"):
            Ledger(file, SETTINGS)
        first.stream.write("{}\n")
    file.write_bytes(b"")
    Ledger(file, SETTINGS).stream.close()  # free again


def test_a_lock_holds_also_where_the_ledger_is_read_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with Ledger(file, SETTINGS):
        assert file.read_bytes() == b""  # closing this handle must not let the lock go
        with pytest.raises(OnlygoodError, match="being written"):
            Ledger(file, SETTINGS)


def test_a_refused_ledger_holds_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("notes\n")
    for _ in range(2):
        with pytest.raises(OnlygoodError, match="line 1"):
            Ledger(file, SETTINGS)


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_row_that_does_not_fit_is_taken_back(tmp_path: Path, room: int) -> None:
    """On a full disk a write gets in partly: half a row would make the ledger a foreign file."""
    file, row = tmp_path / "rows.jsonl", lines(image(tmp_path, "a.png"))
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from onlygood.runtime.rows.ledger import Ledger\n"
        "from onlygood.runtime.rows.verdicts import Settings\n"
        "path, row, room = Path(sys.argv[1]), sys.argv[2] + '\\n', int(sys.argv[3])\n"
        "with Ledger(path, Settings('abcdef012345', 0.85, 16)) as ledger:\n"
        "    ledger.stream.write(row)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (len(row) + room,) * 2)\n"
        "    try:\n"
        "        ledger.stream.write(row)\n"
        "    except OSError as error:\n"
        "        print('full')\n"
    )
    command = [sys.executable, "-c", code, file, row.rstrip("\n"), str(room)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert (result.stdout, result.stderr) == ("full\n", "")
    assert file.read_text() == row
