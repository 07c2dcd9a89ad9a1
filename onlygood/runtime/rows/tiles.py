"""Large images, tile by tile: a score and a heatmap of the whole, in memory that a few rows need.

The model sees each tile as it would see an image of its own. The image's score is that of its worst tile. Of
T tiles each is another chance of a false alarm, so the promise of an image at rate α asks for tiles at α / T
(Bonferroni): the p-value is T times that of the worst tile. Where the calibration is too small for that, the
strictest threshold that it allows is used, and what is then promised is said.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil, isfinite
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.area import Area, blanked
from onlygood.runtime.images.places import PixelBox, Placed, stored
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.images.remote import Place
from onlygood.runtime.images.resize import paste_box, resize, with_channels
from onlygood.runtime.images.sources import SIDEWAYS
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.images.windows import Large, open_large
from onlygood.runtime.model import calibration
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.mosaic import Mosaic
from onlygood.runtime.rows.stream import Also, Look
from onlygood.runtime.rows.verdicts import Row, Stamp, Status, rounded

_FEWEST = 8  # cells of a tile's side in the joint heatmap, also where the model's has fewer
_MOST_TILES = 1_000_000
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


def spread(low: int, high: int, length: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin that cover ``low`` to ``high`` of a side of ``length``, by one if it is longer."""
    missing = min(tile, length) - (high - low)
    if missing > 0:
        low = min(max(0, low - missing // 2), length - min(tile, length))
        high = low + min(tile, length)
    return [low + at for at in starts(high - low, tile, overlap)]


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
    area: Area | None = None,
) -> Generator[Row, None, None]:
    """Yield one row for each image, in the order of ``paths``; its tiles are scored by ``workers`` at once.

    An image is anomalous if a tile is. Else it is unusable if a tile cannot be judged. ``limits`` gives those
    of a number of tiles. Where only an ``area`` counts, tiles are judged of which half or more lies in it,
    each blank outside. The other arguments are those of `score_images`.
    """
    work = _Work(detector, limits, tiling, spec, options, workers, any_frame, tuple(also), preview, area)
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
    inside: NDArray[np.bool_] | None  # which of them count


@dataclass(frozen=True)
class _Scored:
    box: PixelBox
    score: float
    heatmap: NDArray[np.float32]
    objection: str


@dataclass
class _Tally:
    """What the tiles of an image say together."""

    count: int = 0
    anomalous: int = 0
    objections: int = 0
    worst: _Scored | None = None
    odd: _Scored | None = None  # the first that cannot be judged

    def add(self, tile: _Scored, threshold: float) -> None:
        """Count a tile."""
        self.count += 1
        self.anomalous += int(tile.score > threshold)
        self.objections += bool(tile.objection)
        if self.odd is None and tile.objection:
            self.odd = tile
        if self.worst is None or tile.score > self.worst.score:
            self.worst = tile

    def reason(self) -> str:
        """Why not all of the image can be judged, or ""."""
        if self.odd is None:
            return ""
        where = f"that at {self.odd.box[0]}, {self.odd.box[1]}: {self.odd.objection}"
        return f"{self.objections} of {self.count} tiles, such as {where}"


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
    area: Area | None

    def row(self, path: Place, large: Large) -> Row:
        """The verdict on an image."""
        sideways = large.turn in SIDEWAYS
        size = (large.height, large.width) if sideways else (large.width, large.height)
        if self.area is not None:
            self.area.check(*size)
        xs, ys, (wide, high) = self._grid(size, large.turn)
        if (all_of_them := len(xs) * len(ys)) > _MOST_TILES:
            raise ImageError(f"{all_of_them:,} tiles are more than {_MOST_TILES:,}: give a larger --tile")
        marks = None if self.area is None else self.area.turned(_back(large.turn))
        boxes = _boxes(xs, ys, (wide, high), marks, (large.width, large.height))
        count = sum(map(len, boxes))
        limits = self.limits(max(1, count))
        rows, columns = (max(side, _FEWEST) for side in self.detector.metadata.heatmap)
        rows, columns = (columns, rows) if sideways else (rows, columns)
        mosaic = Mosaic(large.width, large.height, (wide / columns, high / rows))
        small = _Preview(large, self.preview) if self.preview else None
        tally = _Tally()
        cut = _tiles(large, boxes, small, marks)
        with closing(
            map_ahead(lambda tile: self._score(tile, large.turn), cut, workers=self.workers)
        ) as done:
            for tile in done:
                if not isfinite(tile.score):
                    raise ImageError(f"the model gave a tile the score {tile.score}, which is no verdict")
                mosaic.add(tile.heatmap, tile.box, self._lies(tile.box, large.turn))
                tally.add(tile, limits.threshold)
        worst = tally.worst
        if worst is None:
            raise ImageError("no tile lies by half or more in what counts: give a smaller --tile")
        reason = tally.reason()
        status = Status.ANOMALOUS if tally.anomalous else Status.NORMAL
        if reason and not tally.anomalous and not self.any_frame:
            status = Status.UNUSABLE
        notes = (*large.notes, *([limits.note] if limits.note else []))
        inside = self._cells(mosaic, size, large.turn)
        if inside is not None and (unseen := 1 - _turned(mosaic.seen, large.turn)[inside].mean()):
            notes += (f"area: {100 * unseen:.2g} % of what counts lies in no tile and was not looked at",)
        if reason and status is not Status.UNUSABLE:
            notes += (f"frame: {reason}",)
        heatmap = _turned(mosaic.heatmap(), large.turn)
        placed = Placed(
            heatmap, (0.0, 0.0, float(size[0]), float(size[1])), (heatmap.shape[0], heatmap.shape[1])
        )
        shown = None if small is None else small.upright(large.turn)
        look = Look(path, *size, large.turn, shown, placed, status, limits.heat, inside=inside)
        tiles = {
            "count": count,
            "size": [self.tiling.width, self.tiling.height],
            "overlap": self.tiling.overlap,
            "anomalous": tally.anomalous,
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
        left, upper, right, lower = (0, 0, *size) if self.area is None else self.area.bounds(*size)
        across = spread(left, right, size[0], wide, self.tiling.overlap)
        down = spread(upper, lower, size[1], high, self.tiling.overlap)
        row = [stored((x, 0, x + wide, high), *size, turn) for x in across]
        column = [stored((0, y, wide, y + high), *size, turn) for y in down]
        if turn in SIDEWAYS:
            row, column, wide, high = column, row, high, wide
        return sorted(box[0] for box in row), sorted(box[1] for box in column), (wide, high)

    def _cells(
        self, mosaic: Mosaic, size: tuple[int, int], turn: Transpose | None
    ) -> NDArray[np.bool_] | None:
        """Which cells of the joint heatmap, upright, count."""
        if self.area is None:
            return None
        cells = (mosaic.rows, mosaic.columns) if turn in SIDEWAYS else (mosaic.columns, mosaic.rows)
        return self.area.inside((0, 0, *size), cells, size)

    def _score(self, tile: _Tile, turn: Transpose | None) -> _Scored:
        image = tile.image
        if tile.inside is not None:  # at full size: no pixel outside reaches the model, not even mixed in
            pixels = np.asarray(with_channels(image, self.spec))
            channels = pixels.reshape(*pixels.shape[:2], self.spec.channels)
            image = Image.fromarray(blanked(channels, tile.inside).reshape(pixels.shape))
        image = image if turn is None else image.transpose(turn)
        pixels = resize(image, self.spec)
        scores, heatmaps = self.detector.infer(pixels[None])
        heatmap = _turned(heatmaps[0], _back(turn))
        return _Scored(tile.box, float(scores[0]), heatmap, self.detector.objection(pixels))

    def _lies(self, box: PixelBox, turn: Transpose | None) -> tuple[float, float, float, float]:
        """Where the heatmap of a tile lies in the image as stored."""
        width, height = box[2] - box[0], box[3] - box[1]
        if turn in SIDEWAYS:
            width, height = height, width
        left, upper, right, lower = stored(paste_box(width, height, self.spec), width, height, turn)
        return (box[0] + left, box[1] + upper, box[0] + right, box[1] + lower)


def _boxes(
    xs: list[int],
    ys: list[int],
    size: tuple[int, int],
    marks: Area | None,
    image: tuple[int, int],
) -> list[list[PixelBox]]:
    """The tiles of each row that are judged, in the pixels as stored; each row has one band of the image."""
    rows = [[(x, y, x + size[0], y + size[1]) for x in xs] for y in ys]
    if marks is None:
        return rows
    return [[box for box in row if marks.inside(box, size, image).mean() >= 0.5] for row in rows]


def _tiles(
    large: Large, boxes: list[list[PixelBox]], small: "_Preview | None", marks: Area | None
) -> Iterator[_Tile]:
    """Tiles row by row; one row of them is in memory, and those that are under way."""
    image = (large.width, large.height)
    for row in boxes:
        if not row:
            continue
        (_, y, _, lower) = row[0]
        band = large.rows(y, lower)
        if small is not None:
            small.add(band, y)
        for box in row:
            size = (box[2] - box[0], box[3] - box[1])
            inside = None if marks is None else marks.inside(box, size, image)
            yield _Tile(box, band.crop((box[0], 0, box[2], lower - y)), inside)


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


def _turned(values: NDArray[Any], turn: Transpose | None) -> NDArray[Any]:
    return values if turn is None else np.asarray(Image.fromarray(values).transpose(turn))


def _back(turn: Transpose | None) -> Transpose | None:
    """What undoes a turn."""
    return None if turn is None else _BACK.get(turn, turn)


def _upright(box: PixelBox, large: Large) -> PixelBox:
    """A box as stored, in the upright image: by the turn back, seen from there."""
    return stored(box, large.width, large.height, _back(large.turn))


def check_tileable(detector: Detector) -> None:
    """Check that the model can see tiles.

    Raises:
        OnlygoodError: it looks at a part of its input only, which tiles do not have.
    """
    if detector.inside is not None:
        raise OnlygoodError(
            "the model itself looks at a part of its input only, which tiles do not have: fit one on tiles,"
            " without --roi and --ignore, and give these to score"
        )
