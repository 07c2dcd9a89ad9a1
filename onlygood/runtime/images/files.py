"""Which files to read: folders walked in a stable order, lists of names, names of any bytes."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, overload

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.formats import READ_SUFFIXES, UNREAD_SUFFIXES
from onlygood.runtime.images.remote import Place

OUTPUT_MARKER = ".onlygood-output"  # lies in folders that onlygood writes, whose pictures are no data
# Pictures that are not read are found too: each gets a row that says why, and none is passed over in silence.
IMAGE_SUFFIXES = READ_SUFFIXES | UNREAD_SUFFIXES
_MOST_ENDINGS, _LONGEST_ENDING = 50, 12  # limits of the count: endings, characters of an ending


@dataclass
class Findings:
    """What a walk over folders finds besides images; the commands report it."""

    ours: list[Path] = field(default_factory=list)  # folders that onlygood wrote: not entered
    empty: list[Path] = field(default_factory=list)  # folders asked for in which there was no image
    others: Counter[str] = field(default_factory=Counter)  # files that are no pictures, by their ending

    def other(self, ending: str) -> None:
        """Count a file that is no picture."""
        plain = ending.isascii() and ending.isprintable() and len(ending) <= _LONGEST_ENDING
        known = plain and (ending in self.others or len(self.others) < _MOST_ENDINGS)
        self.others[ending or "without ending" if known else "of other endings"] += 1

    def left_alone(self) -> str:
        """The others in words, such as "left alone: 3 .txt, 1 .pdf"; "" if there are none."""
        counted = ", ".join(f"{count} {ending}" for ending, count in self.others.most_common())
        return counted and f"left alone: {counted}"


Far = Callable[[Path], Iterator[Place] | None]


@overload
def find_images(
    paths: Iterable[Path | str],
    *,
    recursive: bool = True,
    follow_symlinks: bool = False,
    exclude: Iterable[str] = (),
    findings: Findings | None = None,
) -> Iterator[Path]: ...


@overload
def find_images(
    paths: Iterable[Path | str],
    *,
    recursive: bool = True,
    follow_symlinks: bool = False,
    exclude: Iterable[str] = (),
    findings: Findings | None = None,
    far: Far,
) -> Iterator[Place]: ...


def find_images(
    paths: Iterable[Path | str],
    *,
    recursive: bool = True,
    follow_symlinks: bool = False,
    exclude: Iterable[str] = (),
    findings: Findings | None = None,
    far: Far | None = None,
) -> Iterator[Path] | Iterator[Place]:
    """Yield image files, each folder in the order of its names, holding one folder's names at a time.

    A path that is not a folder is yielded unchanged, so that a missing file becomes a row with a reason. The
    same holds for a folder that cannot be listed. Hidden entries are skipped. Symbolic links to files are
    read. Links to folders are followed only with ``follow_symlinks``, and then no folder is visited twice. A
    folder that onlygood itself wrote is read if it is named in ``paths``, but never entered from above.

    Args:
        paths: files and folders.
        recursive: descend into sub-folders.
        follow_symlinks: also into those that are links.
        exclude: globs matched against each entry's name and its path below the folder given, with "/".
        findings: is filled while the walk goes on.
        far: gives what a URL, an archive or a table holds, and None of other paths.
    """
    visited: set[tuple[int, int]] | None = set() if follow_symlinks else None
    walk = _Walk(recursive, tuple(exclude), visited, findings or Findings())
    for path in map(Path, paths):
        if far is not None and (elsewhere := far(path)) is not None:
            yield from elsewhere
            continue
        if not path.is_dir():
            yield path
            continue
        nothing = True
        for image in walk.images(path):
            nothing = False
            yield image
        if nothing:
            walk.findings.empty.append(path)


@dataclass(frozen=True)
class _Walk:
    recursive: bool
    exclude: tuple[str, ...]
    visited: set[tuple[int, int]] | None  # folders, where links are followed
    findings: Findings

    def images(self, folder: Path, below: str = "") -> Iterator[Path]:
        """Images in ``folder``, whose path below the folder asked for is ``below``."""
        try:
            if self.visited is not None:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in self.visited:
                    return
                self.visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                names = sorted((entry.name, _is_folder(entry), entry.is_symlink()) for entry in entries)
        except OSError:
            yield folder
            return
        if below and any(name == OUTPUT_MARKER for name, _, _ in names):
            self.findings.ours.append(folder)
            return
        for name, is_folder, is_link in names:
            inside = below + name
            excluded = any(fnmatchcase(text, glob) for text in (name, inside) for glob in self.exclude)
            if name.startswith(".") or excluded:
                continue
            if not is_folder:
                ending = Path(name).suffix.lower()
                if ending in IMAGE_SUFFIXES:
                    yield folder / name
                else:
                    self.findings.other(ending)
            elif self.recursive and (self.visited is not None or not is_link):
                yield from self.images(folder / name, inside + "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def mark_output(folder: Path, what: str) -> None:
    """Mark ``folder`` as output of onlygood, so that pictures in it are never read as data.

    ``what`` names the output in the marker and in the error.

    Raises:
        OnlygoodError: it is a file, or already holds other images, which the marker would hide.
    """
    marker = folder / OUTPUT_MARKER
    if marker.exists():
        return
    if folder.exists() and not folder.is_dir():
        raise OnlygoodError(f"{display(folder)} is a file; name a folder")
    stranger = next((path for path in find_images([folder]) if path != folder), None)
    if stranger is not None:
        raise OnlygoodError(
            f"{display(folder)} holds images that are not marked as written by onlygood, such as "
            f"{display(stranger)}, and the {what} would mix with them: give a new folder, or remove them"
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(f"{what}, written by onlygood: readers of folders pass over it\n", encoding="utf-8")


def as_on_disk(path: Path) -> Path:
    """``path`` as the disk spells it, where only the composition of accented letters differs.

    macOS and archives made there write "é" as two characters, lists and most other systems as one. A path
    that exists, or that nothing on the disk equals, stays as it is.
    """
    if _exists(path):
        return path
    found = Path()
    for part in path.parts:
        spellings = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        found /= next((name for name in spellings if _exists(found / name)), part)
    return found if _exists(found) else path


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False
    return True


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


def display(path: os.PathLike[str] | str) -> str:
    r"""A name that can be printed anywhere: bytes that are not UTF-8 appear as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def printable(path: os.PathLike[str] | str) -> str:
    r"""A name for terminals: one line whatever it holds; control codes appear as ``\n``, ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in display(path))
