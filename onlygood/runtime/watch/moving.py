"""Flagged files to a folder of their own: never over another file, never outside, whole whatever happens."""

import errno
import filecmp
import json
import os
import shutil
from pathlib import Path

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, mark_output
from onlygood.runtime.rows.verdicts import Stamp

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


class Moves:
    """Moves files of ``root`` to the same path below ``target``.

    Raises:
        OnlygoodError: ``target`` holds images of others, or cannot be made.
    """

    def __init__(self, root: Path, target: Path) -> None:
        try:
            mark_output(target, "flagged images")
        except OSError as error:
            raise OnlygoodError(f"{display(target)} cannot be made: {error.strerror or error}") from None
        self._root = root
        self._target = target

    def plan(self, path: Path, stamp: Stamp, number: int) -> tuple[Path, str]:
        """Where a file will go, and the order to move it, which `carry_out` takes.

        Where the name is taken (cameras count from 1 again), the verdict's number makes another.
        """
        below = path.relative_to(self._root)
        goal = self._target / below
        if os.path.lexists(goal):
            goal = goal.with_name(f"{goal.stem[:150]}.{number}{goal.suffix}")
        order = {"from": str(below), "to": str(goal.relative_to(self._target)), "number": number}
        return goal, json.dumps(order | {"size": stamp.size, "mtime_ns": stamp.mtime_ns}, allow_nan=False)

    def carry_out(self, order: str) -> bytes | None:
        """Move a file; of one that was moved before a kill, finish.

        Returns the path below the folder under which it was judged, or None if there is nothing to move: it
        is gone, or another file has its name now.

        Raises:
            OSError: the file is where it was.
        """
        what = json.loads(order)
        source, goal = self._root / what["from"], self._target / what["to"]
        if Stamp.of(source) != Stamp(what["size"], what["mtime_ns"]):
            return None
        goal.parent.mkdir(parents=True, exist_ok=True)
        if not goal.parent.resolve().is_relative_to(self._target.resolve()):
            raise OSError(errno.EPERM, "a link leads out of the folder of flagged images", str(goal.parent))
        if os.path.lexists(goal) and not _same(source, goal):
            goal = goal.with_name(f"{goal.stem[:150]}.{what['number']}{goal.suffix}")
        _move(source, goal)
        return os.fsencode(what["from"])


def _move(source: Path, goal: Path) -> None:
    """Move a file to a name that is free, or that is a link to the same file."""
    if not _same(source, goal):
        try:
            os.link(source, goal, follow_symlinks=False)  # fails where the name is taken; a rename would not
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _copy(source, goal)
    source.unlink()


def _copy(source: Path, goal: Path) -> None:
    """Copy to another disk: the name is reserved, and the content comes in whole."""
    part = goal.with_name(f".{goal.name[:200]}.part")
    try:
        shutil.copy2(source, part, follow_symlinks=False)
        if not part.is_symlink():
            with part.open("rb") as file:
                os.fsync(file.fileno())
        with goal.open("xb"):
            pass
        part.replace(goal)
    finally:
        part.unlink(missing_ok=True)


def _same(source: Path, goal: Path) -> bool:
    """Whether the goal holds the file already, as a kill before the source was removed leaves it."""
    try:
        if os.path.samestat(source.lstat(), goal.lstat()):
            return True
        copied = goal.is_file() and Stamp.of(source) == Stamp.of(goal)
    except FileNotFoundError:
        return False
    return copied and filecmp.cmp(source, goal, shallow=False)
