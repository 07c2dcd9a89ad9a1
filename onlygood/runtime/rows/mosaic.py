"""One heatmap of many: those of tiles, joined without seams."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.images.heat import on_image
from onlygood.runtime.images.places import PixelBox

MOST_CELLS = 10_000_000  # of a joint heatmap


class Mosaic:
    """A heatmap joined of those of tiles, which count less towards their borders: no seams."""

    def __init__(self, width: int, height: int, cell: tuple[float, float]) -> None:
        """Of an image ``width`` x ``height``, in cells of about ``cell`` (width, height) pixels.

        In larger ones where they would be too many: memory stays bounded, whatever a header says.
        """
        larger = max(1.0, sqrt(width / cell[0] * height / cell[1] / MOST_CELLS))
        self.columns, self.rows = (
            max(1, round(side / each / larger)) for side, each in zip((width, height), cell, strict=True)
        )
        self.cell = (width / self.columns, height / self.rows)
        self._sum = np.zeros((self.rows, self.columns), np.float32)
        self._weight = np.zeros((self.rows, self.columns), np.float32)

    def add(self, heatmap: NDArray[np.float32], tile: PixelBox, box: Sequence[float]) -> None:
        """Add the ``heatmap`` ``(h, w)`` of ``tile``; ``box`` is where it lies, in pixels of the image."""
        (x0, x1, across), (y0, y1, down) = (
            _ramp(tile[axis], tile[axis + 2], self.cell[axis], (self.columns, self.rows)[axis])
            for axis in (0, 1)
        )
        place = [box[i] / self.cell[i % 2] - (x0, y0)[i % 2] for i in range(4)]
        drawn = on_image(heatmap, x1 - x0, y1 - y0, (place[0], place[1], place[2], place[3]))
        weight = np.where(np.isfinite(drawn), down[:, None] * across, 0).astype(np.float32)
        self._sum[y0:y1, x0:x1] += weight * np.where(weight > 0, drawn, 0)
        self._weight[y0:y1, x0:x1] += weight

    @property
    def seen(self) -> NDArray[np.bool_]:
        """The cells ``(rows, columns)`` of which a tile says something."""
        return self._weight > 0

    def heatmap(self) -> NDArray[np.float32]:
        """The joint map ``(rows, columns)``; where no tile says anything, the lowest value."""
        seen = self.seen
        values = self._sum / np.where(seen, self._weight, 1)
        return np.where(seen, values, values[seen].min(initial=np.inf))


def _ramp(start: int, stop: int, cell: float, count: int) -> tuple[int, int, NDArray[np.float64]]:
    """Cells from, to, and the weight of each: high in the middle of the tile, low at its borders."""
    first, last = int(start / cell), min(count, ceil(stop / cell))
    centers = (np.arange(first, last) + 0.5) * cell
    inside = np.minimum(centers - start, stop - centers) / (stop - start)
    return first, last, np.maximum(inside, 1e-3)
