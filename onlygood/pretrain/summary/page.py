"""``summary.png``: the panels of a run side by side, and pictures worth looking at below them."""

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from onlygood.pretrain.summary.style import BAD, LINE, QUIET, STYLE, cut

FILE_NAME = "summary.png"
PICTURES = 7  # in a row
_WIDTH, _PANEL, _WORDS, _LINE = 13.0, 3.5, 0.75, 0.22  # inches

Panel = Callable[[Axes], None]


class Picture(NamedTuple):
    """An image ``(H, W, C)`` with a few words, and whether these are a warning."""

    pixels: NDArray[np.uint8]
    words: str
    loud: bool


def page(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    *,
    pictures: Sequence[Picture] = (),
    pictures_title: str = "",
    warnings: Sequence[str] = (),
) -> Figure:
    """The whole picture; ``warnings`` stand above everything that they make doubtful."""
    pictures = pictures[:PICTURES]
    side = _WIDTH / PICTURES
    ratio = max((picture.pixels.shape[0] / picture.pixels.shape[1] for picture in pictures), default=0.0)
    strip = side * min(ratio, 2.0) + 0.85 if pictures else 0.0
    lines = [line for words in warnings for line in wrap(f"Warning: {words}", 150)]
    head = _WORDS + _LINE * len(lines)
    height = head + _PANEL + strip
    crowded = {"font.size": 9, "axes.titlesize": 11} if len(panels) > 4 else {}
    with mpl.rc_context(STYLE | crowded):
        figure = Figure(figsize=(_WIDTH, height))
        figure.text(0.02, 1 - 0.28 / height, title, weight="bold", size=14, color=LINE, va="center")
        figure.text(0.02, 1 - 0.55 / height, subtitle, size=10, color="#555555", va="center")
        for number, line in enumerate(lines):
            y = 1 - (0.82 + _LINE * number) / height
            figure.text(0.02, y, line, size=9.5, color=BAD, va="center")
        top = 1 - (head + 0.35) / height
        grid = figure.add_gridspec(
            1,
            len(panels),
            left=0.055,
            right=0.985,
            top=top,
            bottom=(strip + 0.7) / height,
            wspace=0.25 + 0.05 * len(panels),
        )
        for number, panel in enumerate(panels):
            panel(figure.add_subplot(grid[0, number]))
        if pictures:
            y = (strip - 0.22) / height
            figure.text(0.02, y, pictures_title, weight="bold", size=12, color=LINE, va="center")
        for number, picture in enumerate(pictures):
            left, wide = 0.02 + 0.97 * number / PICTURES, 0.97 / PICTURES - 0.012
            axes = figure.add_axes((left, 0.32 / height, wide, (strip - 0.85) / height))
            gray = picture.pixels.shape[2] != 3
            axes.imshow(picture.pixels[..., 0] if gray else picture.pixels, cmap="gray", vmin=0, vmax=255)
            axes.set_anchor("NW")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(visible=picture.loud, color=BAD, linewidth=2)
            words = "\n".join(cut(line, 26) for line in picture.words.splitlines())
            color = BAD if picture.loud else QUIET
            axes.text(0, -0.04, words, transform=axes.transAxes, va="top", size=8, color=color)
    return figure
