"""TIFF beyond what Pillow knows: tags within limits, pages, and pixels of more than 8 bits.

Pillow has no mode for 16-bit color, gray with alpha, 10-bit, inverted or floating-point pixels. But it can
undo the compression: `_rows` lets Pillow read the file as if each byte of a row were a gray pixel, and the
code here gives the bytes their meaning.
"""

import io
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.depth import FULL, Samples, without_alpha

MAX_PAGES = 1000  # pages are counted up to here
_MAX_ENTRIES = 4096  # tags of a page
_MAX_VALUES = 1 << 17  # of a tag: strips or tiles of the image

# Tags, by their numbers in the standard
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, MAX_SAMPLE, PLANAR = 273, 274, 277, 278, 279, 281, 284
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA, FORMAT = 317, 322, 323, 324, 325, 338, 339
ICC_PROFILE, DNG_VERSION = 34675, 50706
COLORS, JPEG_TABLES, SUBSAMPLING = 320, 347, 530
_READ = {
    *(SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER),
    *(STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, MAX_SAMPLE, PLANAR),
    *(PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA, FORMAT, ICC_PROFILE),
    *(DNG_VERSION, COLORS, JPEG_TABLES, SUBSAMPLING),
}
_INTEGERS = {1: "B", 7: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # struct's letters, by TIFF's types
_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)  # those that are lossless
_FLOAT_BITS = (16, 32, 64)


@dataclass(frozen=True)
class Tags:
    """The tags of the first page of a TIFF."""

    order: str  # "<" or ">"
    values: dict[int, tuple[int, ...]]
    pages: int  # MAX_PAGES + 1: there are more

    def first(self, tag: int, default: int) -> int:
        """A tag's first value."""
        return self.values.get(tag, (default,))[0]

    @property
    def bits(self) -> int:
        """Bits of the deepest channel."""
        return max(self.values.get(BITS, (1,)))

    @property
    def colors(self) -> int:
        """Number of channels without alpha, for the kinds that are read here; 0 for others."""
        return {0: 1, 1: 1, 2: 3}.get(self.first(PHOTOMETRIC, 0), 0)

    @property
    def white(self) -> int | None:
        """The largest value that the file declares.

        MaxSampleValue counts if it fits a depth, such as 4095. Any other value is, as the standard says, a
        statistic of this one image, and 65535 is the default.
        """
        if self.bits < 16:
            return (1 << self.bits) - 1
        most = self.first(MAX_SAMPLE, 0)
        return most if 255 <= most < FULL and not most & (most + 1) else None

    @property
    def premultiplied_gray(self) -> bool:
        """Gray with premultiplied alpha, which older versions of Pillow do not know."""
        return self.colors == 1 and self.first(SAMPLES, 1) == 2 and self.first(EXTRA, 0) == 1

    def describe(self) -> str:
        """The kind of file, for error messages."""
        kind = {1: "integer", 2: "signed", 3: "floating-point"}.get(self.first(FORMAT, 1), "unusual")
        channels = self.first(SAMPLES, 1)
        noun = "channel" if channels == 1 else "channels"
        return (
            f"a TIFF file of {channels} {noun} with {self.bits} bits ({kind}), color kind "
            f"{self.first(PHOTOMETRIC, 0)}, compression {self.first(COMPRESSION, 1)}"
        )


def read_tags(file: IO[bytes]) -> Tags:
    """Read the tags of the first page and count the pages, at a bounded cost.

    Raises:
        ImageError: the table of tags is damaged, or lists too many strips or tiles.
    """
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    values, following = _page(file, order, big, _number(head[8:16] if big else head[4:8], order))
    seen = {0}
    pages = 1
    while following not in seen and pages <= MAX_PAGES:
        seen.add(following)
        try:
            following = _skip_page(file, order, big, following)
        except (struct.error, ImageError, OSError, OverflowError):
            break
        pages += 1
    return Tags(order, values, pages)


def _number(data: bytes, order: str) -> int:
    value: int = struct.unpack(order + ("Q" if len(data) == 8 else "I"), data)[0]
    return value


def _count_entries(file: IO[bytes], order: str, big: bool, at: int) -> int:
    file.seek(at)
    count: int = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))[0]
    if not 0 < count <= _MAX_ENTRIES:
        raise ImageError("a damaged TIFF file: it has no readable table of tags")
    return count


def _skip_page(file: IO[bytes], order: str, big: bool, at: int) -> int:
    count = _count_entries(file, order, big, at)
    file.seek(count * (20 if big else 12), 1)
    return _number(file.read(8 if big else 4), order)


def _page(file: IO[bytes], order: str, big: bool, at: int) -> tuple[dict[int, tuple[int, ...]], int]:
    count = _count_entries(file, order, big, at)
    size, room = (20, 8) if big else (12, 4)
    table = file.read(count * size)
    following = _number(file.read(room), order) if len(table) == count * size else 0
    values = {}
    for start in range(0, len(table) - size + 1, size):
        tag, kind = struct.unpack_from(order + "HH", table, start)
        if kind not in _INTEGERS or tag not in _READ:
            continue
        many = _number(table[start + 4 : start + 4 + room], order)
        letter = _INTEGERS[kind]
        length = many * struct.calcsize("=" + letter)
        if many > _MAX_VALUES and tag == ICC_PROFILE:
            continue
        if many > _MAX_VALUES:
            raise ImageError(
                f"a TIFF file in {many} strips or tiles; {_MAX_VALUES} are the most that is read"
            )
        data = table[start + 4 + room : start + 4 + room + length]
        if length > room:
            file.seek(_number(data[:room], order))
            data = file.read(length)
        if many and len(data) == length:
            values[tag] = struct.unpack(f"{order}{many}{letter}", data)
    return values, following


class EightBitTiff(TiffImageFile):
    """A TIFF without Pillow's own pixel limit, which warns on loading; ours is checked on the header."""

    def load_prepare(self) -> None:
        """Allocate the pixels as Pillow does, but without its limit."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()


def deep_samples(data: bytes, tags: Tags, bit_depth: int) -> Samples:
    """Pixels of more than 8 bits, or with premultiplied alpha, in the stored orientation.

    Raises:
        ImageError: a kind of TIFF that is not read.
    """
    kind, channels = tags.first(FORMAT, 1), tags.first(SAMPLES, 1)
    if not _readable(tags):
        raise ImageError(
            f"{tags.describe()}, is not read; 8 or 16 bits, grey, RGB or RGBA are: save it as such"
        )
    width, height = tags.first(WIDTH, 0), tags.first(HEIGHT, 0)
    if tags.first(PLANAR, 1) == 2 and channels > 1:
        planes = [_plane(data, tags, 1, plane, channels) for plane in range(min(channels, tags.colors + 1))]
        pixels = np.concatenate(planes, axis=2)
    else:
        pixels = _plane(data, tags, channels, 0, 1)
    pixels = pixels.reshape(height, width, -1)
    premultiplied = tags.first(EXTRA, 0) == 1 and pixels.shape[2] > tags.colors
    white = 1 if kind == 3 else tags.white or (1 << bit_depth) - 1
    values = without_alpha(pixels, tags.colors, premultiplied, white)
    alpha = tags.first(EXTRA, 0) in (1, 2) and pixels.shape[2] > tags.colors
    transparent = alpha and bool(np.ptp(pixels[..., tags.colors]) > 0 or pixels[0, 0, tags.colors] == 0)
    declared, inverted = tags.white if kind == 1 else None, tags.first(PHOTOMETRIC, 0) == 0
    return Samples(values, declared, inverted, transparent)


def _readable(tags: Tags) -> bool:
    kind, bits, predictor = tags.first(FORMAT, 1), tags.bits, tags.first(PREDICTOR, 1)
    whole = bits in (16, 32)  # bytes are whole numbers
    depths = {1: bits <= 16 or bits == 32, 2: whole, 3: bits in _FLOAT_BITS}
    predictors = {1: True, 2: kind != 3 and whole, 3: kind == 3}
    return (
        0 < tags.colors <= tags.first(SAMPLES, 1) <= 8
        and depths.get(kind, False)
        and min(tags.values.get(BITS, (1,))) == bits
        and tags.first(COMPRESSION, 1) in _COMPRESSIONS
        and predictors.get(predictor, False)
    )


def _plane(data: bytes, tags: Tags, channels: int, plane: int, planes: int) -> NDArray[Any]:
    """Interleaved channels of a plane ``(H, W, channels)`` as numbers."""
    width, bits = tags.first(WIDTH, 0), tags.bits
    rows = _rows(data, tags, channels, plane, planes)
    compressed = tags.first(COMPRESSION, 1) != 1
    predictor = tags.first(PREDICTOR, 1) if compressed else 1
    if bits not in (16, 32, 64):
        return _unpack(rows, width * channels, bits).reshape(len(rows), width, channels)
    letter = {1: "u", 2: "i", 3: "f"}[tags.first(FORMAT, 1)]
    block = width if TILES not in tags.values else tags.first(TILE_WIDTH, width)
    if predictor == 3:
        size = bits // 8
        parts = [
            _float_rows(rows, start, min(start + block, width), channels, size)
            for start in _steps(width, block)
        ]
        return np.concatenate(parts, axis=1).view(f">f{size}").reshape(len(rows), width, channels)
    numbers = rows.view(f"{tags.order}{letter}{bits // 8}").reshape(len(rows), width, channels)
    numbers = numbers.astype(numbers.dtype.newbyteorder("="))
    if predictor == 2:
        for start in _steps(width, block):
            part = numbers[:, start : start + block]
            np.cumsum(part, axis=1, dtype=numbers.dtype, out=part)
    return numbers


def _steps(width: int, block: int) -> range:
    return range(0, width, max(1, block))


def _float_rows(
    rows: NDArray[np.uint8], start: int, stop: int, channels: int, size: int
) -> NDArray[np.uint8]:
    """Undo the floating-point predictor: bytes sorted by significance, each the difference to the last."""
    part = rows[:, start * channels * size : stop * channels * size]
    height, length = part.shape
    summed = np.cumsum(part.reshape(height, length // channels, channels), axis=1, dtype=np.uint8)
    return np.ascontiguousarray(summed.reshape(height, size, length // size).transpose(0, 2, 1)).reshape(
        height, length
    )


def _unpack(rows: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.uint16]:
    """``count`` numbers of ``bits`` bits, packed without gaps from each row's start."""
    numbers = np.zeros((len(rows), count), np.uint16)
    for start in range(0, len(rows), 64):  # a bit takes a byte meanwhile
        single = np.unpackbits(rows[start : start + 64], axis=1, count=count * bits)
        places = single.reshape(-1, count, bits)
        for place in range(bits):
            numbers[start : start + 64] |= places[..., place].astype(np.uint16) << (bits - 1 - place)
    return numbers


def _rows(data: bytes, tags: Tags, channels: int, plane: int, planes: int) -> NDArray[np.uint8]:
    """Uncompressed rows of a plane ``(H, bytes of a row)``.

    The same bytes get a new table of tags, in which every byte of a row is a gray pixel of 8 bits.
    """
    width, height, bits = tags.first(WIDTH, 0), tags.first(HEIGHT, 0), tags.bits
    tiled = TILES in tags.values
    if tiled and tags.first(TILE_WIDTH, 0) * bits % 8:
        raise ImageError(f"{tags.describe()}, is not read in tiles; save it in strips")
    starts = tags.values.get(TILES if tiled else STRIPS, ())
    lengths = tags.values.get(TILE_BYTES if tiled else STRIP_BYTES, ())
    each = len(starts) // planes
    new = {
        WIDTH: ((width * channels * bits + 7) // 8,),
        HEIGHT: (height,),
        BITS: (8,),
        COMPRESSION: (tags.first(COMPRESSION, 1),),
        PHOTOMETRIC: (1,),
        FILL_ORDER: (tags.first(FILL_ORDER, 1),),
        SAMPLES: (1,),
        PREDICTOR: (1,),
        TILES if tiled else STRIPS: starts[plane * each : (plane + 1) * each],
        TILE_BYTES if tiled else STRIP_BYTES: lengths[plane * each : (plane + 1) * each],
    }
    if tiled:
        new[TILE_WIDTH] = (tags.first(TILE_WIDTH, 0) * channels * bits // 8,)
        new[TILE_HEIGHT] = (tags.first(TILE_HEIGHT, 0),)
    else:
        new[ROWS] = (min(height, tags.first(ROWS, height)),)
    image = EightBitTiff(io.BytesIO(_rewritten(data, tags.order, new)))
    image.load()
    return np.asarray(image)


def _rewritten(data: bytes, order: str, tags: dict[int, tuple[int, ...]]) -> bytes:
    """The file with a new first page appended, as a classic TIFF, whose 4 GB are enough for our limits."""
    values = {tag: numbers for tag, numbers in sorted(tags.items()) if numbers}
    table_at = len(data) + len(data) % 2
    outside_at = table_at + 2 + 12 * len(values) + 4
    table, outside = struct.pack(order + "H", len(values)), b""
    for tag, numbers in values.items():
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            place = struct.pack(order + "I", outside_at + len(outside))
            outside += packed
        else:
            place = packed
        table += struct.pack(order + "HHI", tag, 4, len(numbers)) + place
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", table_at)
    return b"".join([head, data[8:], bytes(table_at - len(data)), table, bytes(4), outside])
