"""Which part of the images counts: masks and polygons of people, on the model's canvas."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onlygood.anomaly.data.masks import read_mask
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.area import SHAPE, Area
from onlygood.runtime.images.files import display
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec

_MOST_BYTES = 10_000_000  # of a file of polygons
_LARGEST = 20_000  # px of a side
_FINEST = 8192  # px of a side of what is drawn for large images: 64 MiB
_LEAST = 0.01  # share of the canvas that must be left


@dataclass(frozen=True)
class Attention:
    """What is looked at (``roi``) and what is not (``ignore``), each a picture or polygons."""

    roi: Path | None = None
    ignore: Path | None = None

    def files(self) -> list[Path]:
        """Those that were given."""
        return [path for path in (self.roi, self.ignore) if path is not None]

    def inside(self, spec: InputSpec, width: int, height: int) -> NDArray[np.bool_] | None:
        """The pixels ``(H, W)`` of the model's canvas that count; None if all do.

        Args:
            spec: how images are brought to the canvas; so are these.
            width: of the images, at the median; the files must have the same proportions.
            height: of the images.

        Raises:
            OnlygoodError: a file cannot be read, has other proportions, or hardly anything is left.
        """
        if not self.files():
            return None
        kept = np.ones((spec.height, spec.width), bool)
        if self.roi is not None:
            kept &= _on_canvas(self.roi, spec, width, height)
        if self.ignore is not None:
            kept &= ~_on_canvas(self.ignore, spec, width, height)
        if kept.mean() < _LEAST:
            raise OnlygoodError(
                f"--roi and --ignore leave {kept.mean():.1%} of the image to look at, where {_LEAST:.0%} is"
                " the least: is a mask inverted? --roi marks what counts, --ignore what does not"
            )
        return None if kept.all() else kept

    def area(self) -> Area | None:
        """What counts of images of any size, at the sides drawn or, where they are longer, at 8192 px.

        Raises:
            OnlygoodError: a file cannot be read, both have other proportions, or nothing is left.
        """
        files = [(path, counts) for path, counts in ((self.roi, True), (self.ignore, False)) if path]
        if not files:
            return None
        drawn = [(Area.of(read_area(path, _FINEST)), counts) for path, counts in files]
        size = max(area.drawn.size for area, _ in drawn)
        kept = np.ones(size[::-1], bool)
        for area, counts in drawn:
            area.check(*size)
            kept &= area.inside((0, 0, *area.drawn.size), size, area.drawn.size) == counts
        if not kept.any():
            raise OnlygoodError("--roi and --ignore leave nothing to look at: is a mask inverted?")
        return Area.of(kept)


def _on_canvas(path: Path, spec: InputSpec, width: int, height: int) -> NDArray[np.bool_]:
    area = read_area(path)
    ratio = area.shape[1] / area.shape[0] * height / width
    if max(ratio, 1 / ratio) > SHAPE:
        raise OnlygoodError(
            f"{display(path)} is of {area.shape[1]} x {area.shape[0]} px and the images are of {width} x"
            f" {height}: draw it on one of them, or on one of the same proportions"
        )
    gray = spec.model_copy(update={"channels": 1})
    return resize(area.astype(np.uint8) * 255, gray)[..., 0] >= 128


def read_area(path: Path, longest: int = _LARGEST) -> NDArray[np.bool_]:
    """The marked pixels ``(H, W)`` of a mask in a picture, or of polygons in a file that ends in .json.

    Polygons are ``{"width": …, "height": …, "polygons": [[[x, y], …], …]}``, or what labelme writes. What has
    sides of more than ``longest`` px is made smaller.

    Raises:
        OnlygoodError: the file cannot be read, or marks nothing.
    """
    try:
        area = _drawn(path, longest) if path.suffix.lower() == ".json" else read_mask(path).defect
    except ImageError as error:
        raise OnlygoodError(str(error)) from None
    if not area.any():
        raise OnlygoodError(f"{display(path)} marks nothing; paint what is meant white on black")
    if max(area.shape) <= longest:
        return area
    rows, columns = (max(1, round(side * longest / max(area.shape))) for side in area.shape)
    return Area.of(area).inside((0, 0, *area.shape[::-1]), (columns, rows), area.shape[::-1])


def _drawn(path: Path, longest: int) -> NDArray[np.bool_]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise OnlygoodError(f"{display(path)}: more than {_MOST_BYTES:,} bytes, which no polygons need")
        values = json.loads(path.read_bytes())
        width, height, polygons = _parsed(values)
    except OSError as error:
        raise OnlygoodError(f"{display(path)}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise OnlygoodError(
            f"{display(path)}: not polygons ({error}); write"
            ' {"width": W, "height": H, "polygons": [[[x, y], [x, y], [x, y]]]} in pixels, or use labelme'
        ) from None
    scale = min(1.0, longest / max(width, height))
    canvas = Image.new("L", (max(1, round(width * scale)), max(1, round(height * scale))))
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        pen.polygon([(x * scale, y * scale) for x, y in polygon], fill=1)
    return np.asarray(canvas) > 0


def _parsed(values: Any) -> tuple[int, int, list[list[tuple[float, float]]]]:
    if "shapes" in values:
        size = values["imageWidth"], values["imageHeight"]
        shapes = [(shape["points"], shape.get("shape_type", "polygon")) for shape in values["shapes"]]
    else:
        size = values["width"], values["height"]
        shapes = [(points, "polygon") for points in values["polygons"]]
    if not all(type(side) is int and 0 < side <= _LARGEST for side in size):
        raise ValueError(f"sides from 1 to {_LARGEST} px are wanted, not {size[0]!r} x {size[1]!r}")
    return *size, [_corners(points, kind) for points, kind in shapes]


def _corners(points: Any, kind: str) -> list[tuple[float, float]]:
    corners = [(float(x), float(y)) for x, y in points]
    if not np.isfinite(corners).all() or np.abs(corners).max() > 10 * _LARGEST:
        raise ValueError("a corner is no number or far outside")
    if kind == "rectangle" and len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if kind != "polygon" or len(corners) < 3:
        raise ValueError(f"a {kind} of {len(corners)} points, where polygons of three or more are read")
    return corners
