"""What a watch knows, in one SQLite file: which files were judged, and who must be told of which verdicts.

A verdict and what is to be done about it are written in one transaction, so that a kill, a power cut or a
full disk leaves both or neither. What was done is taken out afterwards: so each thing is done at least once,
and a receiver tells a repetition by its id.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable
from onlygood.runtime.rows.verdicts import Stamp

_OURS = 0x6F677764  # "ogwd", SQLite's application_id
_VERSION = 1
_MOST_TRIES = 5  # of an entry that its receiver refuses, in one run
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, number INTEGER NOT NULL, judged REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE queue (
    receiver TEXT, number INTEGER, body TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (receiver, number)
) WITHOUT ROWID;
CREATE TABLE stream (number INTEGER PRIMARY KEY, seen TEXT NOT NULL);
"""


class Unsaved(OnlygoodError):  # noqa: N818 - the disk's error, not ours
    """Nothing of a transaction was written: the disk is full, gone or broken. It may be tried again."""


@dataclass(frozen=True)
class Verdict:
    """A judged file, and for each receiver what it is to be told."""

    number: int
    path: bytes  # below the folder
    stamp: Stamp
    status: str
    judged: float  # seconds since 1970
    bodies: Mapping[str, str]
    seen: str = ""  # what drift is looked for in


@dataclass(frozen=True)
class Memory:
    """What a watch knows of drift besides the observations of the stream that has not ended."""

    text: str
    begin: int  # number of the first verdict of that stream


@dataclass(frozen=True)
class Entry:
    """What one receiver is to be told of one verdict."""

    number: int
    id: str  # the same however often it is sent
    body: str


class State:
    """The state of one watch, locked for this process until it is closed; in memory if ``path`` is None.

    Raises:
        OnlygoodError: the file is something else, damaged, of a newer version, or in use by another watch.
    """

    def __init__(self, path: Path | None) -> None:
        self._name = "the state" if path is None else printable(path)
        if path is not None and path.exists() and not path.is_file():
            raise OnlygoodError(f"{self._name} is not a regular file, which --state needs")
        try:
            self._db = sqlite3.connect(":memory:" if path is None else path, timeout=1, isolation_level=None)
        except sqlite3.Error as error:
            raise OnlygoodError(f"{self._name} cannot be opened: {error}") from None
        try:
            self._open()
        except sqlite3.Error as error:
            self._db.close()
            raise OnlygoodError(f"{self._name} {_in_words(error)}") from None
        except BaseException:
            self._db.close()
            raise
        self.id = str(self._about("id"))
        self.next = int(self._about("next"))  # number of the next verdict

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        found = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if found != _OURS and (found or tables):
            raise OnlygoodError(f"{self._name} is no state of `onlygood watch`; it is as it was")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a verdict that was told outlives a power cut
        self._db.execute("BEGIN IMMEDIATE")
        if not tables:
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            about = [("id", uuid.uuid4().hex[:12]), ("next", 1)]
            self._db.executemany("INSERT INTO about VALUES (?, ?)", about)
            self._db.execute(f"PRAGMA application_id = {_OURS}")
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        elif (version := self._db.execute("PRAGMA user_version").fetchone()[0]) != _VERSION:
            raise OnlygoodError(
                f"{self._name} has version {version} and this onlygood knows {_VERSION}: upgrade onlygood"
            )
        self._db.execute("UPDATE queue SET tries = 0")  # what was set aside has another chance in each run
        self._db.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def _about(self, key: str) -> str | int:
        value: str | int = self._rows("SELECT value FROM about WHERE key = ?", key)[0][0]
        return value

    def _rows(self, query: str, *values: Any) -> list[Any]:
        """What a query finds.

        Raises:
            Unsaved: the state cannot be read.
        """
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Unsaved(f"{self._name} {_in_words(error)}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing.

        Raises:
            Unsaved: nothing of it was written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise Unsaved(f"{self._name} {_in_words(error)}") from None
            raise

    # --- files

    def knows(self, path: bytes, stamp: Stamp) -> bool:
        """Whether this file was judged as it is now."""
        rows = self._rows("SELECT size, mtime_ns FROM files WHERE path = ?", path)
        return rows == [(stamp.size, stamp.mtime_ns)]

    def judged_as(self, path: bytes) -> int | None:
        """The number of the last verdict of a file of this name, whatever the file was like then."""
        rows = self._rows("SELECT number FROM files WHERE path = ?", path)
        return rows[0][0] if rows else None

    def entry_id(self, number: int) -> str:
        """The id of a verdict, which no other verdict of any state has."""
        return f"{self.id}-{number}"

    def record(self, verdicts: Sequence[Verdict], memory: Memory | None = None) -> None:
        """Write verdicts, their counts, what is to be told and what is known of drift; all or nothing.

        Raises:
            Unsaved: nothing was written.
        """
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(v.path, v.stamp.size, v.stamp.mtime_ns, v.number, v.judged) for v in verdicts],
            )
            self._db.executemany(
                "INSERT INTO queue (receiver, number, body) VALUES (?, ?, ?)",
                [(receiver, v.number, body) for v in verdicts for receiver, body in v.bodies.items()],
            )
            seen = [(v.number, v.seen) for v in verdicts if v.seen]
            self._db.executemany("INSERT INTO stream VALUES (?, ?)", seen)
            if memory is not None:
                self._db.execute("INSERT OR REPLACE INTO about VALUES ('drift', ?)", (memory.text,))
                self._db.execute("DELETE FROM stream WHERE number < ?", (memory.begin,))
            following = verdicts[-1].number + 1
            self._db.execute("UPDATE about SET value = ? WHERE key = 'next'", (following,))
            for verdict in verdicts:
                self._count(f"verdicts/{verdict.status}", 1)
        self.next = following

    def forget(self, paths: Sequence[bytes]) -> None:
        """These files are gone: whatever comes under their names is another file.

        Raises:
            Unsaved: they are still known.
        """
        if paths:
            with self._transaction():
                self._db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def judged_before(self, time: float, after: bytes, limit: int) -> list[bytes]:
        """The next files behind ``after`` that were judged before a time (seconds since 1970), by name."""
        rows = self._rows(
            "SELECT path FROM files WHERE path > ? AND judged < ? ORDER BY path LIMIT ?", after, time, limit
        )
        return [row[0] for row in rows]

    def drift(self) -> tuple[str, list[tuple[int, str]]]:
        """The text of the last `Memory`, or "", and numbers and observations of the stream."""
        texts = self._rows("SELECT value FROM about WHERE key = 'drift'")
        return texts[0][0] if texts else "", self._rows("SELECT number, seen FROM stream ORDER BY number")

    # --- who is told

    def waiting(self, receiver: str, limit: int, held: Set[int] = frozenset()) -> list[Entry]:
        """The first entries that a receiver was not told, without those ``held`` and those set aside."""
        rows = self._rows(
            "SELECT number, body FROM queue WHERE receiver = ? AND tries < ? ORDER BY number LIMIT ?",
            receiver,
            _MOST_TRIES,
            limit + len(held),
        )
        fresh = [Entry(number, self.entry_id(number), body) for number, body in rows if number not in held]
        return fresh[:limit]

    def settle(self, receiver: str, told: Iterable[int], refused: Iterable[int] = ()) -> None:
        """Take out what a receiver was told; count one more try of what it refused.

        Raises:
            Unsaved: all of it is still there.
        """
        told, refused = list(told), list(refused)
        if not told and not refused:
            return
        with self._transaction():
            self._db.executemany(
                "DELETE FROM queue WHERE receiver = ? AND number = ?", [(receiver, n) for n in told]
            )
            self._db.executemany(
                "UPDATE queue SET tries = tries + 1 WHERE receiver = ? AND number = ?",
                [(receiver, n) for n in refused],
            )
            self._count(f"told/{receiver}", len(told))
            self._count(f"refused/{receiver}", len(refused))

    def queued(self) -> dict[str, tuple[int, int]]:
        """For each receiver how many entries wait, and how many are set aside until the next start."""
        rows = self._rows(
            "SELECT receiver, sum(tries < ?), sum(tries >= ?) FROM queue GROUP BY receiver",
            _MOST_TRIES,
            _MOST_TRIES,
        )
        return {receiver: (waiting, aside) for receiver, waiting, aside in rows}

    # --- counts

    def _count(self, name: str, more: int) -> None:
        self._db.execute(
            "INSERT INTO counts VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, more),
        )

    def counts(self, kind: str) -> dict[str, int]:
        """Counts over all runs: ``verdicts`` by status; what was ``told`` or ``refused`` by receiver."""
        rows = self._rows("SELECT name, value FROM counts WHERE name GLOB ?", f"{kind}/*")
        return {name.partition("/")[2]: value for name, value in rows}


def _in_words(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "is in use by another watch: stop that one, or give another --state"
        case sqlite3.SQLITE_FULL:
            return "cannot be written: the disk is full"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return f"is no state of `onlygood watch`, or damaged ({error}); it is as it was"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return f"cannot be written: {error}"
    return f"cannot be read or written: {error}"
