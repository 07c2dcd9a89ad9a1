"""What `score` and `check` draw in a terminal: a bar a score, and thumbnails made of half blocks."""

import os
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from onlygood.deploy.heatmaps import heated
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.verdicts import Row, Status

CLEAR = "\r\x1b[K"  # the line on which the counts stand
DRAWN = "drawn"  # the key of a row's extras that holds its thumbnail
THUMB = 40  # px, the longest side; two of them are a character high
_INDENT = 11  # characters, the column of status
_NARROW = 80  # characters: a narrower terminal has no room for bars
_GOOD, _ODD = 8, 4  # characters of a bar before the threshold and behind it
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def is_screen(stream: TextIO) -> bool:
    """Whether a person looks at a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Bars:
    """A score as a bar: from the lowest of the good ones held out to the threshold, and beyond that mark.

    Something is drawn beyond the mark exactly if the score is above the threshold.

    Args:
        lowest: score of the calibration.
        blocks: whether the terminal's encoding has them; else it is # and |.
    """

    def __init__(self, lowest: float, *, blocks: bool) -> None:
        self._lowest, self._blocks = lowest, blocks

    @classmethod
    def on(cls, stream: TextIO, lowest: float | None, columns: int) -> "Bars | None":
        """Those for a terminal; None where there is no room or no scale."""
        if lowest is None or columns < _NARROW:
            return None
        try:
            (_EIGHTHS + "│").encode(stream.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(lowest, blocks=False)
        return cls(lowest, blocks=True)

    @property
    def title(self) -> str:
        """The head of the column."""
        return f"{'good':<{_GOOD}}{self._mark}{'odd':<{_ODD}}"

    def __call__(self, row: Row) -> str:
        """As many characters as the title; blank without a score."""
        if row.score is None or row.threshold is None:
            return " " * len(self.title)
        above = row.score > row.threshold
        span = row.threshold - self._lowest
        share = (row.score - self._lowest) / span if span > 0 else 1.0 + above
        filled = round(8 * _GOOD * float(np.clip(share, 0, 1 + _ODD / _GOOD)))
        beyond = max(1, filled - 8 * _GOOD) if above else 0
        before = 8 * _GOOD if above else min(filled, 8 * _GOOD)
        return self._drawn(before, _GOOD) + self._mark + self._drawn(beyond, _ODD)

    @property
    def _mark(self) -> str:
        return "│" if self._blocks else "|"

    def _drawn(self, eighths: int, width: int) -> str:
        full, rest = divmod(eighths, 8)
        if not self._blocks:
            return ("#" * (full + (rest > 0))).ljust(width)
        return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


class Thumbnails:
    """Draws each image, its heat over it, for `Row.extras`; asked of images in the workers.

    Args:
        heat: the values at which color begins and is full.
        inside: the pixels of the canvas that count.
        flagged_only: draw nothing of normal images.
        deep: 24-bit color, else the 216 colors that every terminal has.
    """

    def __init__(
        self,
        heat: tuple[float, float],
        inside: NDArray[np.bool_] | None,
        *,
        flagged_only: bool,
        deep: bool,
    ) -> None:
        self._heat, self._inside, self._flagged_only, self._deep = heat, inside, flagged_only, deep

    def __call__(self, look: Look) -> Mapping[str, Any]:
        """The lines of the picture."""
        if self._flagged_only and look.status is Status.NORMAL:
            return {}
        picture = ImageOps.contain(Image.fromarray(heated(look, self._heat, self._inside)), (THUMB, THUMB))
        return {DRAWN: half_blocks(np.asarray(picture), deep=self._deep)}


def deep_color() -> bool:
    """Whether the terminal says that it has 24-bit color."""
    return os.environ.get("COLORTERM", "") in ("truecolor", "24bit")


def half_blocks(pixels: NDArray[np.uint8], *, deep: bool) -> str:
    """Lines of ``▀`` for pixels ``(H, W, 3)``: the upper pixel is its color, the lower one the ground's."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (
            f"\x1b[38;{_code(above, deep)};48;{_code(below, deep)}m▀"
            for above, below in zip(upper.tolist(), lower.tolist(), strict=True)
        )
        lines.append(" " * _INDENT + "".join(cells) + "\x1b[0m\n")
    return "".join(lines)


def _code(color: list[int], deep: bool) -> str:
    red, green, blue = color
    if deep:
        return f"2;{red};{green};{blue}"
    cube = [round(value / 255 * 5) for value in (red, green, blue)]
    return f"5;{16 + 36 * cube[0] + 6 * cube[1] + cube[2]}"
