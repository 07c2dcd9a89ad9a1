"""Heatmaps over their images: where the values lie, in which colors, and which pixels stand out together."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# matplotlib's "inferno" from .3 to .95, at equal distances; the edge has no matplotlib
_INFERNO = np.array(
    [
        *((106, 23, 110), (140, 35, 105), (173, 48, 93), (203, 65, 73), (228, 90, 49)),
        *((244, 121, 24), (252, 159, 7), (249, 199, 47), (241, 239, 117)),
    ],
    np.float32,
)

_LEVELS = 255  # of color


class Patch(NamedTuple):
    """Pixels above a threshold that touch, also by corners."""

    area: int  # pixels
    box: tuple[int, int, int, int]  # left, upper, right, lower; the last two are beyond it
    peak: float
    at: tuple[int, int]  # column and row of the peak


def on_image(
    heatmap: NDArray[np.float32], width: int, height: int, box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Draw ``heatmap`` ``(h, w)`` bilinearly into a box (left, upper, right, lower) of an image.

    The model does not see pixels outside the box: they get minus infinity and are never flagged.
    """
    left, upper, right, lower = box
    y0, y1, fy, above = _taps(height, upper, lower, heatmap.shape[0])
    x0, x1, fx, beside = _taps(width, left, right, heatmap.shape[1])
    rows = heatmap[y0] * (1 - fy[:, None]) + heatmap[y1] * fy[:, None]
    drawn = rows[:, x0] * (1 - fx) + rows[:, x1] * fx
    drawn[above] = -np.inf
    drawn[:, beside] = -np.inf
    return np.asarray(drawn, np.float32)


def _taps(length: int, start: float, end: float, cells: int) -> tuple[Any, Any, Floats, NDArray[np.bool_]]:
    """For pixel centers of an axis: the cells before and after, the weight of the second, what is outside."""
    at = (np.arange(length) + 0.5 - start) / (end - start) * cells
    outside = (at < 0) | (at > cells)
    at = np.clip(at - 0.5, 0, cells - 1)
    first = np.minimum(at.astype(int), max(cells - 2, 0))
    return first, np.minimum(first + 1, cells - 1), (at - first).astype(np.float32), outside


def blended(
    pixels: NDArray[np.uint8], heatmap: NDArray[np.float32], heat: tuple[float, float]
) -> NDArray[np.uint8]:
    """Draw ``heatmap`` ``(H, W)`` over ``pixels`` ``(H, W, 3)``: clear below heat[0], full from heat[1]."""
    low, high = heat
    levels = (np.clip((heatmap - low) / (high - low), 0, 1) * _LEVELS).round().astype(np.uint8)
    drawn, hot = pixels.copy(), levels > 0  # mostly few pixels are
    strength = np.arange(_LEVELS + 1, dtype=np.float32) / _LEVELS
    at = np.linspace(0, 1, len(_INFERNO))
    color = np.stack([np.interp(strength, at, channel) for channel in _INFERNO.T], axis=1)
    cover = (np.minimum(2 * strength, 1) * (0.35 + 0.4 * strength))[:, None]
    some = levels[hot]
    drawn[hot] = np.round(pixels[hot] * (1 - cover)[some] + (color * cover)[some]).astype(np.uint8)
    return drawn


def patches(values: Floats, threshold: float) -> list[Patch]:
    """Connected pixels of ``values`` ``(H, W)`` above ``threshold``, the one with the highest peak first.

    By runs: those of neighboring rows that overlap, or touch by a corner, belong together.
    """
    above = np.zeros((values.shape[0], values.shape[1] + 2), np.int8)
    above[:, 1:-1] = values > threshold
    step = np.diff(above, axis=1)
    rows, starts = np.nonzero(step == 1)
    ends = np.nonzero(step == -1)[1]
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    other = 0  # the first run above that may touch the current one
    for run in range(len(rows)):
        while rows[other] < rows[run] - 1 or (rows[other] == rows[run] - 1 and ends[other] < starts[run]):
            other += 1
        near = other
        while rows[near] < rows[run] and starts[near] <= ends[run]:
            parent[root(near)] = root(run)
            near += 1
    runs: dict[int, list[int]] = {}
    for run in range(len(rows)):
        runs.setdefault(root(run), []).append(run)
    found = [_patch(values, rows[which], starts[which], ends[which]) for which in runs.values()]
    return sorted(found, key=lambda patch: (-patch.peak, patch.box))


def _patch(values: Floats, rows: NDArray[Any], starts: NDArray[Any], ends: NDArray[Any]) -> Patch:
    peak, at = -np.inf, (0, 0)
    for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        column = start + int(np.argmax(values[row, start:end]))
        if values[row, column] > peak:
            peak, at = float(values[row, column]), (column, row)
    box = (int(starts.min()), int(rows.min()), int(ends.max()), int(rows.max()) + 1)
    return Patch(int((ends - starts).sum()), box, peak, at)
