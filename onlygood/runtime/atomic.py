"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onlygood.runtime.errors import OnlygoodError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path``; the file written there is flushed to the disk and takes its place.

    A kill or a power cut at any instant leaves the old file or the new one. If the block raises, the old one
    stays and nothing else is left behind.
    """
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``.

    Raises:
        OnlygoodError: the disk is full or the folder cannot be written; the old file stays.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise OnlygoodError(f"{path}: cannot write: {error.strerror or error}") from error
