"""Notes on what the reader did with images, counted by kind, so that each kind is reported once."""

from collections import Counter
from collections.abc import Iterable


class NoteCounts:
    """Counts notes by kind, which is the text before the colon; memory does not grow with the images."""

    def __init__(self) -> None:
        self._images: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._differ: set[str] = set()

    def add(self, note: str) -> bool:
        """Count a note; True if it is the first of its kind."""
        kind = note.partition(":")[0]
        self._images[kind] += 1
        if self._first.setdefault(kind, note) != note:
            self._differ.add(kind)
        return self._images[kind] == 1

    def lines(self) -> list[str]:
        """One line for each kind, such as "12 images: frames: page 1 of 3"."""
        return [
            f"{count} {'image' if count == 1 else 'images'}: {self._first[kind]}"
            + (", and the like" if kind in self._differ else "")
            for kind, count in self._images.items()
        ]


def counted(notes: Iterable[str]) -> list[str]:
    """The lines of all these notes."""
    counts = NoteCounts()
    for note in notes:
        counts.add(note)
    return counts.lines()
