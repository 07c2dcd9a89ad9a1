import io
from pathlib import Path

import pytest

from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.ledger import Ledger
from onlygood.deploy.runtime.verdicts import Row, Settings, Stamp, Status, make_writer

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
