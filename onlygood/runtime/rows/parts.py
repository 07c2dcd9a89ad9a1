"""One verdict for each part that several images show."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.remote import Place
from onlygood.runtime.model import calibration
from onlygood.runtime.rows.verdicts import Row, Status


@dataclass
class _Part:
    """What is known of a part so far: its image with the highest score, and what could not be judged."""

    images: int = 0
    worst: Row | None = None
    unseen: int = 0
    why: Row | None = None  # the first that could not be read, else the first that was unusable

    def add(self, row: Row) -> None:
        self.images += 1
        if row.score is None or row.status in (Status.ERROR, Status.UNUSABLE):
            self.unseen += 1
            if self.why is None or (row.status is Status.ERROR and self.why.status is not Status.ERROR):
                self.why = row
        elif self.worst is None or self.worst.score is None or row.score > self.worst.score:
            self.worst = row


class Parts:
    """Which part an image shows, and which of its scores is too high for a good part.

    The highest score of a part is ranked among the highest scores ``maxima`` ``(K,)`` of the K parts that
    calibrated the model, ascending: see `onlygood.runtime.model.calibration.part_maxima`.
    """

    def __init__(self, pattern: str, maxima: NDArray[np.float64], threshold: float) -> None:
        try:
            self._expression = re.compile(pattern)
        except re.error as error:
            raise OnlygoodError(f"--parts {pattern}: not a regular expression ({error})") from None
        self._maxima, self.threshold = maxima, threshold

    def name(self, path: Place) -> str:
        """The pattern's first group in the path, or all that it matches; without a match, the path."""
        text = path.as_posix() if isinstance(path, Path) else str(path)
        match = self._expression.search(text)
        return (match[1 if self._expression.groups else 0] if match else "") or text

    def verdicts(self, rows: Iterable[Row]) -> Iterator[Row]:
        """A row for each part, in the order in which they appear, after the last image has been judged.

        It is the row of the part's image with the highest score; JSON has the part's name, too, and how many
        images it has and how many of them could not be judged. A part that is not anomalous, but of which an
        image could not be judged, has that image's status: what was not seen has not passed.
        """
        parts: dict[str, _Part] = {}
        for row in rows:
            parts.setdefault(self.name(row.path), _Part()).add(row)
        for name, part in parts.items():
            yield self._verdict(name, part)

    def _verdict(self, name: str, part: _Part) -> Row:
        worst, why = part.worst, part.why
        about = {"part": name, "images": part.images, "unjudged": part.unseen}
        if worst is not None and worst.score is not None:
            p_value = float(calibration.p_values(self._maxima, np.array([worst.score]))[0])
            status = Status.ANOMALOUS if worst.score > self.threshold else Status.NORMAL
            extras = {**worst.extras, **about}
            worst = replace(worst, status=status, threshold=self.threshold, p_value=p_value, extras=extras)
            if why is None or status is Status.ANOMALOUS:
                return worst
        if why is None:
            raise ValueError(f"no image of the part {name}")
        unseen = f"{part.unseen} of {part.images} images could not be judged: {why.path}: {why.error}"
        shown = worst or replace(why, threshold=self.threshold, extras={**why.extras, **about})
        return replace(shown, status=why.status, error=unseen)
