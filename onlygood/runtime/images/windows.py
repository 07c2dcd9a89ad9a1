"""Images that are too large to be decoded whole: some rows at a time.

A TIFF lies in strips or tiles, so that a part of it can be decoded alone: those that hold the rows become a
file of their own in memory, which the one reader reads as any other. So all kinds of TIFF that are read whole
are read in parts, with the same pixels. Images in other formats are decoded whole.
"""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from PIL import Image
from PIL.Image import Transpose

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images import tiff
from onlygood.runtime.images.formats import HEAD, format_of
from onlygood.runtime.images.reader import ReadOptions, open_regular, read_bytes, upright
from onlygood.runtime.images.reasons import file_errors, in_words
from onlygood.runtime.images.remote import Place, Remote
from onlygood.runtime.images.sources import open_source
from onlygood.runtime.images.spec import InputSpec

_KEPT = (
    *(tiff.BITS, tiff.COMPRESSION, tiff.PHOTOMETRIC, tiff.FILL_ORDER, tiff.SAMPLES, tiff.MAX_SAMPLE),
    *(tiff.PLANAR, tiff.PREDICTOR, tiff.EXTRA, tiff.FORMAT, tiff.COLORS, tiff.JPEG_TABLES, tiff.SUBSAMPLING),
)
_YCBCR = 6


@dataclass(frozen=True)
class Large:
    """An image of which some rows can be decoded; width, height and rows are as stored."""

    width: int
    height: int
    turn: Transpose | None  # turns it upright
    notes: tuple[str, ...]
    rows: Callable[[int, int], Image.Image]  # from, to: 8 bits, (to - from) rows of the whole width


@contextmanager
def open_large(path: Place, spec: InputSpec, options: ReadOptions) -> Iterator[Large]:
    """Open an image to read it in parts; of a TIFF the limit of pixels is for each part.

    Raises:
        ImageError: the file cannot be read; the message is a short reason.
    """
    with file_errors(), _opened(path, options) as file:
        if format_of(file.read(HEAD)) != "TIFF":
            with _whole(path, spec, options) as large:
                yield large
            return
        with in_words("TIFF", "header"):
            source = open_source("TIFF", file)
            file.seek(0)
            tags = tiff.read_tags(file)

        def rows(start: int, stop: int) -> Image.Image:
            with in_words("TIFF", "pixels"):
                data, above = part(file, tags, start, stop, options.max_pixels)
            with upright(data, spec, options) as found:
                return found.image.crop((0, start - above, source.width, stop - above))

        yield Large(source.width, source.height, source.turn(), source.notes, rows)


def _opened(path: Place, options: ReadOptions) -> AbstractContextManager[IO[bytes]]:
    return io.BytesIO(read_bytes(path, options)) if isinstance(path, Remote) else open_regular(path)


@contextmanager
def _whole(path: Place, spec: InputSpec, options: ReadOptions) -> Iterator[Large]:
    """Of other formats, decoded and upright already."""
    spec = spec.model_copy(update={"jpeg": "full"})  # tiles are of the file's own pixels
    with ExitStack() as stack:
        found = stack.enter_context(upright(path, spec, options))
        image = found.image

        def rows(start: int, stop: int) -> Image.Image:
            return image.crop((0, start, image.width, stop))

        yield Large(image.width, image.height, None, found.notes, rows)


def part(file: IO[bytes], tags: tiff.Tags, start: int, stop: int, max_pixels: int) -> tuple[bytes, int]:
    """A TIFF of the strips or tiles that hold rows ``start`` to ``stop``, and the row it begins with.

    Raises:
        ImageError: it is damaged, or one strip or row of tiles alone has more than ``max_pixels``.
    """
    width, height = tags.first(tiff.WIDTH, 0), tags.first(tiff.HEIGHT, 0)
    planes = tags.first(tiff.SAMPLES, 1) if tags.first(tiff.PLANAR, 1) == 2 else 1
    tiled = tiff.TILES in tags.values
    deep = tags.first(tiff.TILE_HEIGHT, 0) if tiled else min(height, tags.first(tiff.ROWS, height))
    across = -(-width // max(1, tags.first(tiff.TILE_WIDTH, 0))) if tiled else 1
    starts = tags.values.get(tiff.TILES if tiled else tiff.STRIPS, ())
    lengths = tags.values.get(tiff.TILE_BYTES if tiled else tiff.STRIP_BYTES, ())
    down = -(-height // deep) if deep > 0 else 0
    if not down or len(starts) != across * down * planes or len(lengths) != len(starts):
        raise ImageError("a damaged TIFF file: it does not list its strips or tiles")
    first, last = start // deep, -(-stop // deep)
    places = [
        (starts[i], lengths[i])
        for plane in range(planes)
        for i in range((plane * down + first) * across, (plane * down + last) * across)
    ]
    above, below = first * deep, min(height, last * deep)
    new = {tag: tags.values[tag] for tag in _KEPT if tag in tags.values}
    if not tiled and tags.first(tiff.COMPRESSION, 1) == 1 and tags.first(tiff.PHOTOMETRIC, 0) != _YCBCR:
        places = _rows_of(tags, places, planes, (start, stop))
        above, below, deep = start, stop, stop - start
    if width * (below - above) > max_pixels:
        raise ImageError(
            f"{width} x {below - above} pixels lie in one piece, more than the limit of {max_pixels}; save it"
            " in tiles or small strips, or raise --max-pixels"
        )
    new |= {tiff.WIDTH: (width,), tiff.HEIGHT: (below - above,)}
    if tiled:
        new |= {tiff.TILE_WIDTH: (tags.first(tiff.TILE_WIDTH, 0),), tiff.TILE_HEIGHT: (deep,)}
    else:
        new[tiff.ROWS] = (deep,)
    return _file(file, tags.order, new, places, tiled=tiled, most=16 * max_pixels + (1 << 26)), above


def _rows_of(
    tags: tiff.Tags, places: list[tuple[int, int]], planes: int, span: tuple[int, int]
) -> list[tuple[int, int]]:
    """Of uncompressed strips only the rows asked for: one strip may hold the whole image."""
    start, stop = span
    width, height = tags.first(tiff.WIDTH, 0), tags.first(tiff.HEIGHT, 0)
    channels = 1 if planes > 1 else tags.first(tiff.SAMPLES, 1)
    row = (width * channels * tags.bits + 7) // 8
    deep = min(height, tags.first(tiff.ROWS, height))
    pieces: list[tuple[int, int]] = []
    for number, (at, length) in enumerate(places):
        begin = start // deep * deep + number % (len(places) // planes) * deep
        a, b = max(start, begin), min(stop, begin + deep)
        if (b - begin) * row > length:
            raise ImageError("a TIFF file that is truncated")
        pieces.append((at + (a - begin) * row, (b - a) * row))
    return pieces


def _file(
    file: IO[bytes],
    order: str,
    tags: dict[int, tuple[int, ...]],
    places: list[tuple[int, int]],
    *,
    tiled: bool,
    most: int,
) -> bytes:
    """A TIFF of one page with these tags, whose pixels lie at ``places`` (start, length) of ``file``."""
    if sum(length for _, length in places) > most:
        raise ImageError("a damaged TIFF file: its strips or tiles are larger than their pixels")
    body = io.BytesIO()
    body.write(bytes(8))
    starts, lengths = [], []
    for at, length in places:
        file.seek(at)
        data = file.read(length)
        if len(data) != length:
            raise ImageError("a TIFF file that is truncated")
        starts.append(body.tell())
        lengths.append(length)
        body.write(data)
    if not tiled:  # pieces of one strip that lie side by side are one
        count = -(-tags[tiff.HEIGHT][0] // tags[tiff.ROWS][0])
        planes = tags.get(tiff.SAMPLES, (1,))[0] if tags.get(tiff.PLANAR, (1,))[0] == 2 else 1
        each = len(starts) // (count * planes)
        starts = starts[::each]
        lengths = [sum(lengths[i : i + each]) for i in range(0, len(lengths), each)]
    tags = tags | {
        tiff.TILES if tiled else tiff.STRIPS: tuple(starts),
        tiff.TILE_BYTES if tiled else tiff.STRIP_BYTES: tuple(lengths),
    }
    body.write(bytes(body.tell() % 2))
    entries = []
    for tag, values in sorted(tags.items()):
        kind, letter = (7, "B") if tag == tiff.JPEG_TABLES else (4, "I")
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(packed) > 4:
            place = struct.pack(order + "I", body.tell())
            body.write(packed + bytes(len(packed) % 2))
        else:
            place = packed.ljust(4, b"\0")
        entries.append(struct.pack(order + "HHI", tag, kind, len(values)) + place)
    table = body.tell()
    body.write(struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4))
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", table)
    return head + body.getvalue()[8:]
