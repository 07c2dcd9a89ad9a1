"""Which files of a folder are ready to be judged: new ones that nobody writes any more.

Events of the file system only say where to look; a look at the whole folder decides, so that a lost event (a
network share, a full queue of the kernel) costs time and never a file.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from onlygood.runtime.images.files import IMAGE_SUFFIXES, Findings, find_images
from onlygood.runtime.rows.verdicts import Stamp

PATIENCE = 10  # times the settle time: how long an unreadable file may take to become whole
_MOST = 10_000  # files that are followed at once; a later look finds the others


@dataclass
class Candidate:
    """A file that was not judged yet."""

    path: Path
    stamp: Stamp
    since: float  # when this stamp was first seen, on the caller's clock
    tried: bool = False  # it could not be read, and may still be incomplete
    first: Stamp = field(init=False)  # the stamp when the file was found
    found: float = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.found = self.stamp, self.since


class Folder:
    """The files of ``root`` that were not judged, and since when each has been as it is.

    Args:
        root: the folder.
        known: whether a file (its path below the folder, its stamp) was judged as it is.
        settle: seconds for which a file must not have changed.
        recursive: whether folders inside are looked into.
        exclude: globs of names that are left alone, as of `find_images`.
        outside: a folder that is never looked into, such as where flagged files go.
    """

    def __init__(
        self,
        root: Path,
        known: Callable[[bytes, Stamp], bool],
        *,
        settle: float,
        recursive: bool = True,
        exclude: tuple[str, ...] = (),
        outside: Path | None = None,
    ) -> None:
        self.root = root
        self.settle = settle
        self.readable = True  # as of the last look
        self.images = 0  # that the last look found, judged or not
        self.more = False  # it found more new files than are followed at once
        self._known = known
        self._recursive = recursive
        self._exclude = exclude
        self._outside = None if outside is None else outside.resolve()
        self._ours: set[Path] = set()
        self._waiting: dict[Path, Candidate] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def below(self, path: Path) -> bytes:
        """The path of a file below the folder, as the state has it."""
        return os.fsencode(path.relative_to(self.root))

    def look(self, now: float) -> None:
        """Look at the whole folder."""
        findings, exclude = Findings(), self._exclude
        self.readable, self.images, self.more = True, 0, False
        for path in find_images([self.root], recursive=self._recursive, exclude=exclude, findings=findings):
            if path == self.root:  # it cannot be listed
                self.readable = False
                return
            self.images += 1
            self._consider(path, now)
        self._ours = set(findings.ours)

    def touched(self, path: Path, now: float) -> None:
        """Look at one file, where an event says that it changed."""
        if self._wanted(path):
            self._consider(path, now)

    def _wanted(self, path: Path) -> bool:
        """Whether a look at the whole folder would find this name."""
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_relative_to(self.root):
            return False
        parts = path.relative_to(self.root).parts
        if not parts or (len(parts) > 1 and not self._recursive) or not self._ours.isdisjoint(path.parents):
            return False
        for end, name in enumerate(parts, 1):
            inside = "/".join(parts[:end])
            if name.startswith(".") or any(fnmatchcase(t, g) for t in (name, inside) for g in self._exclude):
                return False
        return True

    def _consider(self, path: Path, now: float) -> None:
        if self._outside is not None and self._outside in path.resolve().parents:
            return
        stamp = Stamp.of(path)
        if stamp.size is None or self._known(self.below(path), stamp):
            self._waiting.pop(path, None)
            return
        candidate = self._waiting.get(path)
        if candidate is None:
            if len(self._waiting) >= _MOST:
                self.more = True
            else:
                self._waiting[path] = Candidate(path, stamp, now)
        elif candidate.stamp != stamp:
            candidate.stamp, candidate.since, candidate.tried = stamp, now, False

    def ready(self, now: float, limit: int) -> list[Candidate]:
        """Up to ``limit`` files that have not changed for the settle time, the longest waiting first.

        They are followed on until `drop` or `give_time`.
        """
        found: list[Candidate] = []
        for candidate in self._oldest():
            if len(found) == limit or now - candidate.since < self.settle:
                break
            if now - candidate.since < self._needed(candidate):
                continue
            self._consider(candidate.path, now)  # has it changed meanwhile?
            current = self._waiting.get(candidate.path)
            if current is not None and now - current.since >= self._needed(current):
                found.append(current)
        return found

    def _oldest(self) -> Iterator[Candidate]:
        return iter(sorted(self._waiting.values(), key=lambda candidate: candidate.since))

    def _needed(self, candidate: Candidate) -> float:
        return self.settle * (PATIENCE if candidate.tried else 1)

    def due(self, now: float) -> float | None:
        """Seconds until the next file may be ready; None if there is none."""
        times = [candidate.since + self._needed(candidate) for candidate in self._waiting.values()]
        return max(0.0, min(times) - now) if times else None

    def drop(self, candidate: Candidate) -> None:
        """The file was judged, or is gone."""
        self._waiting.pop(candidate.path, None)

    def give_time(self, candidate: Candidate, now: float) -> bool:
        """A file could not be read: whether it is to be tried again, as it may still be written."""
        if now - candidate.since >= self.settle * PATIENCE:
            return False
        candidate.tried = True
        return True

    def growing(self, now: float) -> int:
        """How many files are written for so long already that it is not worth waiting for them."""
        patience = self.settle * PATIENCE
        return sum(c.stamp != c.first and now - c.found > patience for c in self._waiting.values())
