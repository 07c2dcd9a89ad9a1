"""Large images, tile by tile: a score and a heatmap of the whole, in memory that a few rows need.

The model sees each tile as it would see an image of its own. The image's score is that of its worst tile. Of
T tiles each is another chance of a false alarm, so the promise of an image at rate α asks for tiles at α / T
(Bonferroni): the p-value is T times that of the worst tile. Where the calibration is too small for that, the
strictest threshold that it allows is used, and what is then promised is said.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.heat import on_image
from onlygood.runtime.images.places import PixelBox, Placed, stored
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.images.remote import Place
from onlygood.runtime.images.resize import paste_box, resize
from onlygood.runtime.images.sources import SIDEWAYS
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.images.windows import Large, open_large
from onlygood.runtime.model import calibration
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.stream import Also, Look
from onlygood.runtime.rows.verdicts import Row, Stamp, Status, rounded

_FEWEST = 8  # cells of a tile's side in the joint heatmap, also where the model's has fewer
_MOST_TILES = 1_000_000
MOST_CELLS = 10_000_000  # of a joint heatmap
_BACK = {Transpose.ROTATE_90: Transpose.ROTATE_270, Transpose.ROTATE_270: Transpose.ROTATE_90}


@dataclass(frozen=True)
class Tiling:
    """How images are cut; ``width`` and ``height`` of a tile are pixels of the upright image."""

    width: int
    height: int
    overlap: float  # the least share of a side that neighbors share

    @classmethod
    def of(cls, width: int | None, overlap: float, spec: InputSpec) -> "Tiling":
        """Tiles ``width`` px wide, of the proportions of the model's input; None: of its very size."""
        wide = width or spec.width
        return cls(wide, max(1, round(wide * spec.height / spec.width)), overlap)


def starts(length: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along a side of ``length``, at even distances, the last at its end."""
    if length <= tile:
        return [0]
    count = ceil((length - tile) / max(1, round(tile * (1 - overlap)))) + 1
    return [int(at) for at in np.linspace(0, length - tile, count).round()]


@dataclass(frozen=True)
class Limits:
    """The threshold of an image's tiles, and what it promises of the image."""

    threshold: float
    heat: float  # of regions
    false_alarms: float | None  # at most, of an image; None where the user set the threshold
    note: str = ""


def limits_of(detector: Detector, tiles: int, rate: float | None, threshold: float | None) -> Limits:
    """The limits of ``tiles`` tiles at ``rate`` for the image, or at the ``threshold`` that a user set."""
    held_out = detector.metadata.calibration
    wish = held_out.max_false_alarms if rate is None else rate
    smallest = calibration.smallest_alpha(held_out.parts())
    each = max(wish / tiles, smallest)
    heat = detector.heat_threshold(each)
    if threshold is not None:
        return Limits(threshold, heat, None)
    promised = min(1.0, tiles * each)
    limit = detector.threshold(each)
    if each * tiles <= wish * (1 + 1e-9):
        return Limits(limit, heat, promised)
    unit = "images" if held_out.groups is None else "parts"
    return Limits(
        limit,
        heat,
        promised,
        f"tiles: a good image of {tiles} tiles is flagged with a chance of up to {promised:.2g}, not"
        f" {wish:.2g}: that needs {calibration.minimum_n(wish / tiles)} calibration {unit}, and the model has"
        f" {held_out.parts()}",
    )


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

    def heatmap(self) -> NDArray[np.float32]:
        """The joint map ``(rows, columns)``; where no tile says anything, the lowest value."""
        seen = self._weight > 0
        values = self._sum / np.where(seen, self._weight, 1)
        return np.where(seen, values, values[seen].min(initial=np.inf))


def _ramp(start: int, stop: int, cell: float, count: int) -> tuple[int, int, NDArray[np.float64]]:
    """Cells from, to, and the weight of each: high in the middle of the tile, low at its borders."""
    first, last = int(start / cell), min(count, ceil(stop / cell))
    centers = (np.arange(first, last) + 0.5) * cell
    inside = np.minimum(centers - start, stop - centers) / (stop - start)
    return first, last, np.maximum(inside, 1e-3)


def score_tiled(
    detector: Detector,
    paths: Iterable[Place],
    limits: Callable[[int], Limits],
    *,
    tiling: Tiling,
    spec: InputSpec,
    options: ReadOptions,
    workers: int,
    any_frame: bool = False,
    also: Sequence[Also] = (),
    preview: int = 0,
) -> Generator[Row, None, None]:
    """Yield one row for each image, in the order of ``paths``; its tiles are scored by ``workers`` at once.

    An image is anomalous if a tile is. Else it is unusable if a tile cannot be judged. ``limits`` gives those
    of a number of tiles; the other arguments are those of `score_images`.
    """
    work = _Work(detector, limits, tiling, spec, options, workers, any_frame, tuple(also), preview)
    for path in paths:
        start, stamp = perf_counter(), Stamp.of(path)
        try:
            with open_large(path, spec, options) as large:
                row = work.row(path, large)
        except ImageError as error:
            row = Row(path, Status.ERROR, limits(1).threshold, error=str(error))
        yield Row(**vars(row) | {"ms": 1000 * (perf_counter() - start), "stamp": stamp})


@dataclass(frozen=True)
class _Tile:
    box: PixelBox  # in the pixels as stored
    image: Image.Image


@dataclass(frozen=True)
class _Scored:
    box: PixelBox
    score: float
    heatmap: NDArray[np.float32]
    objection: str


@dataclass(frozen=True)
class _Work:
    """All that does not change from image to image."""

    detector: Detector
    limits: Callable[[int], Limits]
    tiling: Tiling
    spec: InputSpec
    options: ReadOptions
    workers: int
    any_frame: bool
    also: tuple[Also, ...]
    preview: int

    def row(self, path: Place, large: Large) -> Row:
        """The verdict on an image."""
        sideways = large.turn in SIDEWAYS
        size = (large.height, large.width) if sideways else (large.width, large.height)
        xs, ys, (wide, high) = self._grid(size, large.turn)
        count = len(xs) * len(ys)
        if count > _MOST_TILES:
            raise ImageError(f"{count:,} tiles are more than {_MOST_TILES:,}: give a larger --tile")
        limits = self.limits(count)
        rows, columns = (max(side, _FEWEST) for side in self.detector.metadata.heatmap)
        rows, columns = (columns, rows) if sideways else (rows, columns)
        mosaic = Mosaic(large.width, large.height, (wide / columns, high / rows))
        small = _Preview(large, self.preview) if self.preview else None
        worst: _Scored | None = None
        odd: _Scored | None = None  # the first that cannot be judged
        anomalous = objections = 0
        cut = self._tiles(large, xs, ys, (wide, high), small)
        with closing(
            map_ahead(lambda tile: self._score(tile, large.turn), cut, workers=self.workers)
        ) as done:
            for tile in done:
                if not isfinite(tile.score):
                    raise ImageError(f"the model gave a tile the score {tile.score}, which is no verdict")
                mosaic.add(tile.heatmap, tile.box, self._lies(tile.box, large.turn))
                anomalous += tile.score > limits.threshold
                objections += bool(tile.objection)
                if odd is None and tile.objection:
                    odd = tile
                if worst is None or tile.score > worst.score:
                    worst = tile
        if worst is None:
            raise ImageError("an image without pixels")
        reason = f"{objections} of {count} tiles, such as {_words(odd)}" if odd else ""
        status = Status.ANOMALOUS if anomalous else Status.NORMAL
        if odd and not anomalous and not self.any_frame:
            status = Status.UNUSABLE
        notes = (*large.notes, *([limits.note] if limits.note else []))
        if odd and status is not Status.UNUSABLE:
            notes += (f"frame: {reason}",)
        heatmap = _turned(mosaic.heatmap(), large.turn)
        placed = Placed(
            heatmap, (0.0, 0.0, float(size[0]), float(size[1])), (heatmap.shape[0], heatmap.shape[1])
        )
        seen = None if small is None else small.upright(large.turn)
        look = Look(path, *size, large.turn, seen, placed, status, limits.heat)
        tiles = {
            "count": count,
            "size": [self.tiling.width, self.tiling.height],
            "overlap": self.tiling.overlap,
            "anomalous": int(anomalous),
            "worst": list(_upright(worst.box, large)),
            "false_alarms": rounded(limits.false_alarms),
        }
        extras: dict[str, Any] = {"tiles": tiles}
        for say in self.also:
            extras |= say(look)
        return Row(
            path,
            status,
            limits.threshold,
            score=worst.score,
            p_value=min(1.0, count * self.detector.p_value(worst.score)),
            width=size[0],
            height=size[1],
            error=reason if status is Status.UNUSABLE else "",
            notes=notes,
            extras=extras,
        )

    def _grid(
        self, size: tuple[int, int], turn: Transpose | None
    ) -> tuple[list[int], list[int], tuple[int, int]]:
        """Where tiles begin and how large they are, as stored; laid on the upright image, of ``size``."""
        wide, high = min(self.tiling.width, size[0]), min(self.tiling.height, size[1])
        across, down = starts(size[0], wide, self.tiling.overlap), starts(size[1], high, self.tiling.overlap)
        row = [stored((x, 0, x + wide, high), *size, turn) for x in across]
        column = [stored((0, y, wide, y + high), *size, turn) for y in down]
        if turn in SIDEWAYS:
            row, column, wide, high = column, row, high, wide
        return sorted(box[0] for box in row), sorted(box[1] for box in column), (wide, high)

    def _tiles(
        self, large: Large, xs: list[int], ys: list[int], size: tuple[int, int], small: "_Preview | None"
    ) -> Iterator[_Tile]:
        """Tiles row by row; one row of them is in memory, and those that are under way."""
        wide, high = size
        for y in ys:
            band = large.rows(y, y + high)
            if small is not None:
                small.add(band, y)
            for x in xs:
                yield _Tile((x, y, x + wide, y + high), band.crop((x, 0, x + wide, high)))

    def _score(self, tile: _Tile, turn: Transpose | None) -> _Scored:
        image = tile.image if turn is None else tile.image.transpose(turn)
        pixels = resize(image, self.spec)
        scores, heatmaps = self.detector.infer(pixels[None])
        back = None if turn is None else _BACK.get(turn, turn)
        return _Scored(
            tile.box, float(scores[0]), _turned(heatmaps[0], back), self.detector.objection(pixels)
        )

    def _lies(self, box: PixelBox, turn: Transpose | None) -> tuple[float, float, float, float]:
        """Where the heatmap of a tile lies in the image as stored."""
        width, height = box[2] - box[0], box[3] - box[1]
        if turn in SIDEWAYS:
            width, height = height, width
        left, upper, right, lower = stored(paste_box(width, height, self.spec), width, height, turn)
        return (box[0] + left, box[1] + upper, box[0] + right, box[1] + lower)


class _Preview:
    """The whole image, small, from its rows."""

    def __init__(self, large: Large, longest: int) -> None:
        self._scale = min(1.0, longest / max(large.width, large.height))
        self._image = Image.new("RGB", (self._at(large.width), self._at(large.height)))

    def add(self, band: Image.Image, y: int) -> None:
        """Draw rows that begin at ``y``."""
        top, bottom = round(y * self._scale), self._at(y + band.height)
        if bottom > top:
            shown = band.resize((self._image.width, bottom - top), Image.Resampling.BOX).convert("RGB")
            self._image.paste(shown, (0, top))

    def upright(self, turn: Transpose | None) -> NDArray[np.uint8]:
        """Its pixels ``(h, w, 3)``."""
        return np.asarray(self._image if turn is None else self._image.transpose(turn))

    def _at(self, length: int) -> int:
        return max(1, round(length * self._scale))


def _turned(values: NDArray[np.float32], turn: Transpose | None) -> NDArray[np.float32]:
    return values if turn is None else np.asarray(Image.fromarray(values).transpose(turn))


def _upright(box: PixelBox, large: Large) -> PixelBox:
    """A box as stored, in the upright image: by the turn back, seen from there."""
    if large.turn is None:
        return box
    return stored(box, large.width, large.height, _BACK.get(large.turn, large.turn))


def _words(tile: _Scored) -> str:
    return f"that at {tile.box[0]}, {tile.box[1]}: {tile.objection}"


def check_tileable(detector: Detector) -> None:
    """Check that the model can see tiles.

    Raises:
        OnlygoodError: it looks at a part of its input only, which tiles do not have.
    """
    if detector.inside is not None:
        raise OnlygoodError(
            "the model looks at a part of the image only (--roi, --ignore), which tiles do not have: fit one"
            " without, on tiles"
        )
