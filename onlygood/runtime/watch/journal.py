"""Rows of verdicts in a file that is only appended to: each once, also across kills and full disks."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable
from onlygood.runtime.rows.ledger import WholeRows
from onlygood.runtime.watch.state import Entry, State

_TAIL = 1 << 20  # bytes, far more than one row
_BEGINS = b'{"id": "'


class Journal:
    """A JSON Lines file. What it holds, not what the state remembers, says which rows were written.

    It is opened anew for each batch, so that it may be moved away (logrotate) at any time.

    Raises:
        OnlygoodError: the file holds something else; it is as it was.
    """

    def __init__(self, path: Path, state: State) -> None:
        self._path = path
        self._state = state
        self._repair()

    def _repair(self) -> None:
        """Remove a last row that a power cut left incomplete; rows that are there are taken off the queue."""
        if not self._path.exists():
            return
        if not self._path.is_file():
            raise OnlygoodError(f"{printable(self._path)} is not a regular file; leave -o away to print rows")
        with self._path.open("r+b") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _TAIL)
            file.seek(start)
            whole, newline, torn = file.read().rpartition(b"\n")
            last = whole.rpartition(b"\n")[2]
            ours = last.startswith(_BEGINS) if newline else start == 0
            if not ours or not (_BEGINS.startswith(torn[: len(_BEGINS)]) or not torn.strip(b"\0")):
                raise OnlygoodError(
                    f"{printable(self._path)} holds something else than rows of `onlygood watch`; it is as it"
                    " was: give another -o"
                )
            if torn:
                file.truncate(start + len(whole) + len(newline))
        name, _, number = str(json.loads(last)["id"]).rpartition("-") if last else ("", "", "")
        if name == self._state.id:
            written = self._state.waiting("rows", self._state.next)
            self._state.settle("rows", [e.number for e in written if e.number <= int(number)])

    def write(self, entries: Sequence[Entry]) -> None:
        """Append rows and wait until they are on the disk.

        Raises:
            OSError: none of them was written.
        """
        data = "".join(entry.body + "\n" for entry in entries).encode("ascii")
        with WholeRows(self._path, "a") as file:
            file.write(data)
            os.fsync(file.fileno())
