"""Write files so that they are complete or absent, never half written."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onlygood.runtime.errors import OnlygoodError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside ``path``; the file written there is flushed to disk and replaces ``path``.

    A kill or a power cut at any instant leaves the old file or the new one. If the block raises, the old one
    stays and nothing else is left behind; what a killed process left, the next one takes away.
    """
    name = f".{path.name[:100]}."
    temporary = path.with_name(f"{name}{os.getpid()}.tmp")
    _sweep(path.parent, name)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself must reach the disk too
        _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk; a file may be write-protected."""
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path, name: str) -> None:
    """Remove temporary files of this name whose process is no more."""
    if os.name != "posix":  # where there is no way to ask that does no harm
        return
    for litter in folder.glob(f"{glob.escape(name)}*.tmp"):
        process = litter.name.removeprefix(name).removesuffix(".tmp")
        if process.isdecimal():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                litter.unlink(missing_ok=True)
            except (OSError, OverflowError):  # it is somebody else's
                continue


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
