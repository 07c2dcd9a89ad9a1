import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.rows.verdicts import Stamp
from onlygood.runtime.watch.state import Entry, State, Unsaved, Verdict

STAMP = Stamp(10, 1_700_000_000_123_456_789)


def verdict(number: int, name: bytes = b"a.png", stamp: Stamp = STAMP, **bodies: str) -> Verdict:
    return Verdict(number, name, stamp, "normal", 100.0 * number, bodies)


def test_a_file_is_known_as_it_was_judged_and_no_other_way(tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        state.record([verdict(1, b"caf\xe9.png")])
        assert state.knows(b"caf\xe9.png", STAMP)
        assert not state.knows(b"caf\xe9.png", Stamp(11, STAMP.mtime_ns))
        assert not state.knows(b"caf\xe9.png", Stamp(10, 1_700_000_000_123_456_788))
        assert not state.knows(b"cafe.png", STAMP)


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        name = state.id
        state.record([verdict(1, rows="x"), verdict(2, b"b", rows="y", webhook="z")])
        state.settle("rows", [1])
    with State(tmp_path / "s") as state:
        assert (state.id, state.next) == (name, 3)
        assert state.knows(b"b", STAMP)
        assert state.waiting("rows", 9) == [Entry(2, f"{name}-2", "y")]
        assert state.waiting("webhook", 9) == [Entry(2, f"{name}-2", "z")]
        assert state.counts("verdicts") == {"normal": 2}
        assert state.counts("told") == {"rows": 1}


def test_entries_wait_in_order_and_may_be_held(tmp_path: Path) -> None:
    with State(None) as state:
        state.record([verdict(n, str(n).encode(), exec=str(n)) for n in range(1, 6)])
        assert [e.number for e in state.waiting("exec", 2, {1, 3})] == [2, 4]


def test_an_entry_that_is_refused_five_times_waits_for_the_next_start(tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        state.record([verdict(1, webhook="x")])
        for _ in range(5):
            assert state.queued() == {"webhook": (1, 0)}
            state.settle("webhook", [], [1])
        assert state.waiting("webhook", 9) == []
        assert state.queued() == {"webhook": (0, 1)}
        assert state.counts("refused") == {"webhook": 5}
    with State(tmp_path / "s") as state:
        assert [entry.number for entry in state.waiting("webhook", 9)] == [1]


def test_verdicts_are_written_all_or_none() -> None:
    with State(None) as state:
        state.record([verdict(1, rows="x")])
        with pytest.raises(Unsaved):
            state.record([verdict(2, b"b", rows="y"), verdict(1, b"c", rows="its number is taken")])
        assert not state.knows(b"b", STAMP)
        assert state.next == 2
        assert state.counts("verdicts") == {"normal": 1}
        state.record([verdict(2, b"b", rows="y")])  # the connection goes on working
        assert state.knows(b"b", STAMP)


def test_what_the_state_says_a_receiver_has_is_gone(tmp_path: Path) -> None:
    with State(None) as state:
        state.record([verdict(1, rows="x", mqtt="x")])
        state.settle("rows", [1])
        assert state.queued() == {"mqtt": (1, 0)}


def test_forgotten_files_are_new_again() -> None:
    with State(None) as state:
        state.record([verdict(n, bytes([96 + n])) for n in (1, 2, 3, 4)])
        assert state.judged_before(350.0, b"a", 9) == [b"b", b"c"]
        state.forget([b"b", b"c"])
        assert [state.knows(name, STAMP) for name in (b"a", b"b", b"c", b"d")] == [True, False, False, True]


def test_one_watch_at_a_time(tmp_path: Path) -> None:
    with State(tmp_path / "s"), pytest.raises(OnlygoodError, match="in use by another watch"):
        State(tmp_path / "s")
    State(tmp_path / "s").__exit__(None, None, None)


def test_other_files_are_refused_and_stay_as_they_are(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, " * 100)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE precious (x)")
    for path in (text, other, tmp_path):
        before = None if path.is_dir() else path.read_bytes()
        with pytest.raises(OnlygoodError, match=r"no state of `onlygood watch`|not a regular file"):
            State(path)
        assert before is None or path.read_bytes() == before


def test_a_newer_state_is_refused(tmp_path: Path) -> None:
    with State(tmp_path / "s"):
        pass
    with closing(sqlite3.connect(tmp_path / "s")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(OnlygoodError, match=r"version 99 .* upgrade"):
        State(tmp_path / "s")


def test_a_full_disk_costs_nothing(tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        state.record([verdict(1, rows="x")])
        pages = state._db.execute("PRAGMA page_count").fetchone()[0]
        state._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Unsaved, match="the disk is full"):
            state.record([verdict(2, b"b", rows="y" * 100_000)])
        assert not state.knows(b"b", STAMP)
        state._db.execute("PRAGMA max_page_count = 100000")
        state.record([verdict(2, b"b", rows="y" * 100_000)])
    with State(tmp_path / "s") as state:
        assert [entry.number for entry in state.waiting("rows", 9)] == [1, 2]
