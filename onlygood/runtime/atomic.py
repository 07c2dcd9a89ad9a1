"""Write files so that they are complete or absent, never half written."""

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from onlygood.runtime.errors import OnlygoodError

_MADE = re.compile(r"([0-9]+)\.[0-9]+\.tmp")  # by which process, and which of its threads


@contextmanager
def replacing(path: Path, *, sweep: bool = True) -> Iterator[Path]:
    """Yield a hidden name beside ``path``; the file written there is flushed to disk and replaces ``path``.

    A kill or a power cut at any instant leaves the old file or the new one. If the block raises, the old one
    stays and nothing else is left behind; what a killed process left, the next one takes away, unless
    ``sweep`` is False: that looks through the folder, which takes long where many files are. Several threads
    may write the same file: the last one wins.
    """
    name = f".{path.name[:100]}."
    temporary = path.with_name(f"{name}{os.getpid()}.{get_ident()}.tmp")
    if sweep:
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
        if made := _MADE.fullmatch(litter.name.removeprefix(name)):
            try:
                os.kill(int(made[1]), 0)
            except ProcessLookupError:
                litter.unlink(missing_ok=True)
            except (OSError, OverflowError):  # it is somebody else's
                continue


def write_atomically(path: Path, data: bytes, *, sweep: bool = True) -> None:
    """Replace ``path`` by ``data``; ``sweep`` is that of `replacing`.

    Raises:
        OnlygoodError: the disk is full or the folder cannot be written; the old file stays.
    """
    try:
        with replacing(path, sweep=sweep) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise OnlygoodError(f"{path}: cannot write: {error.strerror or error}") from error
