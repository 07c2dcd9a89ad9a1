"""The rows of an earlier run, so that a later one goes on where it was cut off."""

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.verdicts import Settings, Stamp, Status, printable, rounded


class Ledger:
    """A JSONL file that is only ever appended to, so that a run can go on where an earlier one was cut off.

    An image counts as done if its path, size, modification time, model, threshold, bit depth and judgement of
    frames are those of a row; the last row of an image holds. What a crash left of a last line is cut away.
    """

    _START = b'{"path": '
    _IDENTITY = ("path", "size", "mtime_ns", *Settings._fields)

    def __init__(self, path: Path, settings: Settings) -> None:
        self._settings = settings
        self._done: dict[bytes, Status] = {}  # 16 bytes an image, not its name
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(self._read(file, printable(path)))

    def find(self, path: Path) -> Status | None:
        """What an earlier run found for the image as it is now."""
        stamp = Stamp.of(path)
        return self._done.get(_key(str(path), stamp.size, stamp.mtime_ns, *self._settings))

    def _read(self, file: BinaryIO, name: str) -> int:
        """Take the rows in; returns the length of what is whole."""
        length = 0
        for number, line in enumerate(file, start=1):
            whole = line.endswith(b"\n")
            try:
                if whole:
                    row = {"any_frame": False} | json.loads(line)
                    self._done[_key(*(row[column] for column in self._IDENTITY))] = Status(row["status"])
                elif not self._START.startswith(line.rstrip(b"\0")[: len(self._START)]):
                    raise ValueError("not the beginning of a row")
            except (ValueError, TypeError, KeyError):
                raise OnlygoodError(
                    f"{name}: line {number} is not a row of `onlygood score -f jsonl`; nothing was appended"
                ) from None
            length += len(line) if whole else 0
        return length


def _key(path: str, size: Any, mtime_ns: Any, *settings: Any) -> bytes:
    text = json.dumps([path, size, mtime_ns, *(rounded(value) for value in settings)], allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
