"""Which files to read: folders walked in a stable order, lists of names, names of any bytes."""

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})


def find_images(
    paths: Iterable[Path | str],
    *,
    recursive: bool = True,
    follow_symlinks: bool = False,
    exclude: Iterable[str] = (),
) -> Iterator[Path]:
    """Yield image files, each folder in the order of its names, holding one folder's names at a time.

    A path that is no folder is yielded as it stands, so that a missing file becomes a row with a reason; so
    is a folder that cannot be listed. Hidden entries are skipped. Symbolic links to files are read; links to
    folders only on demand, and then no folder is visited twice.

    Args:
        paths: files and folders.
        recursive: descend into sub-folders.
        follow_symlinks: also into those that are links.
        exclude: globs matched against each entry's name and its path below the folder given, with "/".
    """
    visited: set[tuple[int, int]] | None = set() if follow_symlinks else None
    patterns = tuple(exclude)
    for path in map(Path, paths):
        if path.is_dir():
            yield from _walk(path, "", recursive, patterns, visited)
        else:
            yield path


def _walk(
    folder: Path, below: str, recursive: bool, exclude: tuple[str, ...], visited: set[tuple[int, int]] | None
) -> Iterator[Path]:
    try:
        if visited is not None:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            names = sorted((entry.name, _is_folder(entry), entry.is_symlink()) for entry in entries)
    except OSError:
        yield folder
        return
    for name, is_folder, is_link in names:
        inside = below + name
        excluded = any(fnmatchcase(text, glob) for text in (name, inside) for glob in exclude)
        if name.startswith(".") or excluded:
            continue
        if not is_folder:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield folder / name
        elif recursive and (visited is not None or not is_link):
            yield from _walk(folder / name, inside + "/", recursive, exclude, visited)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_list(file: BinaryIO | Path, null: bool = False) -> Iterator[Path]:
    """Yield the paths that a list holds, one a line or, with ``null``, ended by NUL as by ``find -print0``.

    Names may be any bytes. Blank lines are skipped, and a carriage return before the line's end is not part
    of the name; between NULs every byte is.
    """
    if isinstance(file, Path):
        with file.open("rb") as stream:
            yield from read_list(stream, null)
        return
    for record in _records(file, b"\0" if null else b"\n"):
        name = record if null else record.removesuffix(b"\r")
        if name.strip() or (null and name):
            yield Path(os.fsdecode(name))


def _records(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 16):
        *whole, rest = (rest + chunk).split(end)
        yield from whole
    yield rest


def display(path: Path | str) -> str:
    r"""A name that can be printed anywhere: bytes that are not UTF-8 appear as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
