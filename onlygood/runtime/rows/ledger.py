"""The rows of an earlier run, so that a later run continues where that one stopped."""

import hashlib
import io
import json
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable
from onlygood.runtime.images.remote import Place
from onlygood.runtime.locks import lock
from onlygood.runtime.rows.verdicts import Settings, Stamp, Status, rounded

_LONGEST = 1 << 20  # bytes of a row, far beyond what a path can be
_PATH = re.compile(rb'\{"path": "(?:[^"\\]|\\.)*(?:\\$)?', re.DOTALL)
_NEXT = b'", "status": "'
_NOBODY = (None, None, None, False, None)  # instead of settings, of an image for which there is no model


class Ledger:
    """A JSONL file that is only appended to, so that a run can continue where an earlier run stopped.

    An image is done if a row has its path, size, modification time, model, threshold, bit depth and
    ``any_frame``; where images are cut, how they are (``tiling``) instead of the threshold, which follows
    from it and the image. The last row of an image counts. A last line that a crash left incomplete is
    removed. This is a context manager: until it ends, no other run can open the same ledger.

    Raises:
        OnlygoodError: the file holds something else (it is not changed), or another run is writing it.
    """

    _IDENTITY = ("path", "size", "mtime_ns", *Settings._fields)

    def __init__(self, path: Path, settings: Settings | None) -> None:
        self._settings = settings
        self._done: dict[bytes, Status] = {}  # keys of 16 bytes, not names
        name = printable(path)
        if path.exists() and not path.is_file():
            raise OnlygoodError(f"{name} is not a regular file, which --resume needs")
        file = WholeRows(path, "a+")
        try:
            lock(file, name)
            file.seek(0)
            file.truncate(self._read(io.BufferedReader(file), name))
        except BaseException:
            file.close()
            raise
        self.stream = io.TextIOWrapper(file, encoding="ascii", newline="", write_through=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def find(self, path: Place, settings: Settings | None = None) -> Status | None:
        """The outcome of an earlier run for the image, if the file is unchanged.

        ``settings`` are the image's own, where several models are at work; else the ledger's.
        """
        stamp = Stamp.of(path)
        decided = settings or self._settings or _NOBODY
        return self._done.get(_key(str(path), stamp.size, stamp.mtime_ns, *decided))

    def _read(self, file: io.BufferedReader, name: str) -> int:
        """Read the rows; returns the length of the complete ones in bytes."""
        length, number = 0, 0
        while line := file.readline(_LONGEST):
            number += 1
            whole, text = line.endswith(b"\n"), line.rstrip(b"\0")
            if not whole and len(line) < _LONGEST and _torn(text):
                break
            try:
                row = {"any_frame": False, "tiling": None} | json.loads(text)
                key, status = _key(*(row[column] for column in self._IDENTITY)), Status(row["status"])
            except (ValueError, TypeError, KeyError, RecursionError):
                raise OnlygoodError(
                    f"{name}: line {number} is not a row of `onlygood score -f jsonl`; the file is as it was"
                ) from None
            if whole:  # else only the newline is missing: the row is removed and made again
                self._done[key] = status
                length += len(line)
        file.detach()
        return length


class WholeRows(io.FileIO):
    """A file opened for appending: each write is complete or, on a full disk, has no effect."""

    def write(self, data: Any, /) -> int:
        """Write all of ``data``, or nothing."""
        start = os.fstat(self.fileno()).st_size
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) or 0 :]
        except BaseException as error:
            self.truncate(start)
            if isinstance(error, OSError):
                error.filename = str(self.name)
            raise
        return memoryview(data).nbytes


def _torn(line: bytes) -> bool:
    """Whether a last line without a newline is an incomplete row, as a crash leaves it."""
    try:
        json.loads(line)
    except ValueError:
        pass
    else:
        return False
    path = _PATH.match(line)
    if path is None:
        return b'{"path": "'.startswith(line)
    rest = line[path.end() :][: len(_NEXT)]
    return _NEXT.startswith(rest)


def _key(path: str, size: Any, mtime_ns: Any, *settings: Any) -> bytes:
    model, threshold, *others, tiling = settings
    decides = [model, rounded(threshold) if tiling is None else None, *others, tiling]
    text = json.dumps([path, size, mtime_ns, *decides], allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
