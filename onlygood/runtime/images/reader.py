"""The one reader of images, for training and for scoring: bytes in, uint8 ``(H, W, C)`` out, or a reason.

Whatever the bytes are, the result is a `LoadedImage` or an `ImageError`. The pixel limit is checked on the
header, by our code and not by Pillow's, and several threads share one memory budget.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.depth import Samples, eight_bit
from onlygood.runtime.images.formats import HEAD, format_of, refuse_raw
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reasons import file_errors, in_words
from onlygood.runtime.images.remote import Place, Remote
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.sources import SIDEWAYS, Source, open_source, transparent
from onlygood.runtime.images.spec import InputSpec

DEFAULT_MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class ReadOptions:
    """Limits of the reader."""

    max_pixels: int = DEFAULT_MAX_PIXELS  # width times height, as the header declares
    memory: Budget = field(default_factory=Budget)  # of all threads that decode with the same options


DEFAULTS = ReadOptions()


@dataclass(frozen=True)
class LoadedImage:
    """An image as the model takes it."""

    pixels: NDArray[np.uint8]  # (H, W, C) of the spec
    width: int  # of the file, after EXIF orientation
    height: int
    notes: tuple[str, ...]  # what the user should know, such as further pages
    turn: Transpose | None = None  # what turned the file's pixels upright
    preview: NDArray[np.uint8] | None = None  # (h, w, 3) for people, if it was asked for


@dataclass(frozen=True)
class Upright:
    """A decoded image of 8 bits, turned upright."""

    image: Image.Image
    shrunk: int  # by this factor, while decoding
    notes: tuple[str, ...]
    turn: Transpose | None


@dataclass(frozen=True)
class Header:
    """What the header of a file says, without decoding."""

    width: int  # after EXIF orientation (of a PNG, whose EXIF may follow the pixels, before it)
    height: int
    gray: bool  # one channel, alpha aside
    sixteen_bit: bool  # more than 8 bits a channel
    white: int | None = None  # of more than 8 bits, the largest value that the file declares


def load_image(
    source: bytes | Place | str, spec: InputSpec, options: ReadOptions = DEFAULTS, *, preview: int = 0
) -> LoadedImage:
    """Read the first page of a file (its content or its path) as a model of ``spec`` takes it.

    EXIF orientation is applied. Alpha is dropped; transparent pixels keep their color. Pixels of more than 8
    bits are reduced by the bit depth that the file declares, or else by the spec's. ``preview``, if not 0, is
    the longest side of a preview in color, which keeps the proportions.

    Raises:
        ImageError: the file cannot be read; the message is a short reason.
    """
    with upright(source, spec, options) as found:
        image = found.image
        pixels = resize(image, spec)
        small = resize(image, _preview_spec(image.size, preview)) if preview else None
    width, height = image.width * found.shrunk, image.height * found.shrunk
    return LoadedImage(pixels, width, height, found.notes, found.turn, small)


@contextmanager
def upright(
    source: bytes | Place | str, spec: InputSpec, options: ReadOptions = DEFAULTS
) -> Iterator[Upright]:
    """Decode the first page at its own size, in memory that is the caller's until the block ends.

    Raises:
        ImageError: the file cannot be read, or the block fails on its pixels; the message is a short reason.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, options)
    name, found = _open(io.BytesIO(data), options)
    with options.memory.take(found.cost + len(data)), in_words(name, "pixels"):
        stored = found.turn()  # of a TIFF, which decoding turns
        decoded, shrunk = found.decode(spec)
        notes = found.notes + _color_notes(decoded)
        if isinstance(decoded, Samples):
            decoded, depth_notes = eight_bit(decoded, spec.bit_depth)
            notes += depth_notes
        turn = found.turn()
        yield Upright(decoded if turn is None else decoded.transpose(turn), shrunk, notes, turn or stored)


def _color_notes(decoded: Image.Image | Samples) -> tuple[str, ...]:
    """What becomes of transparent pixels, and of colors that are no RGB."""
    clear = decoded.transparent if isinstance(decoded, Samples) else transparent(decoded)
    notes: tuple[str, ...] = ()
    if clear:
        notes += ("alpha: transparent pixels are read with the color that they hide",)
    if not isinstance(decoded, Samples) and decoded.mode in ("CMYK", "LAB"):
        notes += (f"color kind: {decoded.mode}, turned into RGB by formula, without a profile",)
    return notes


def _preview_spec(size: tuple[int, int], longest: int) -> InputSpec:
    scale = min(1.0, longest / max(size))
    width, height = (min(max(8, round(side * scale)), 8192) for side in size)
    return InputSpec(height=height, width=width, channels=3)


def read_header(path: Path | str, options: ReadOptions = DEFAULTS) -> Header:
    """Read size and kind without decoding any pixel.

    Raises:
        ImageError: the file cannot be read; the message is a short reason.
    """
    with file_errors(), open_regular(path) as file:
        refuse_raw(Path(path), file.read(HEAD))
        name, found = _open(file, options)
        width, height = found.width, found.height
        if name != "PNG" and found.turn() in SIDEWAYS:
            width, height = height, width
    return Header(width, height, found.gray, found.bits > 8, found.white)


def largest_value(path: Path | str, spec: InputSpec, options: ReadOptions = DEFAULTS) -> int | None:
    """The largest value in a file of more than 8 bits that declares no depth; None for any other file.

    Raises:
        ImageError: the file cannot be read; the message is a short reason.
    """
    data = read_bytes(path, options)
    name, found = _open(io.BytesIO(data), options)
    with options.memory.take(found.cost + len(data)), in_words(name, "pixels"):
        decoded = found.decode(spec)[0]
        if not isinstance(decoded, Samples) or decoded.white or decoded.values.dtype.kind == "f":
            return None
        return int(decoded.values.max())


def read_bytes(path: Place | str, options: ReadOptions = DEFAULTS) -> bytes:
    """The content of an image file.

    Raises:
        ImageError: not a regular file, or larger than an image of ``max_pixels`` can be.
    """
    limit = 8 * options.max_pixels + 2**26  # four 16-bit channels, uncompressed, and generous metadata
    if isinstance(path, Remote):
        data = path.read(limit)
        refuse_raw(Path(path), data[:HEAD])
        return data
    with file_errors(), open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise ImageError(f"larger than any image of {options.max_pixels} pixels")
        data = file.read()
    refuse_raw(Path(path), data[:HEAD])
    return data


def _open(file: IO[bytes], options: ReadOptions) -> tuple[str, Source]:
    """Read the header, and refuse an image that is too large to decode."""
    file.seek(0)
    name = format_of(file.read(HEAD))
    with in_words(name, "header"):
        found = open_source(name, file)
    for width, height in ((found.width, found.height), found.tile):
        if width * height > options.max_pixels:
            raise ImageError(f"{width} x {height} pixels are more than the limit of {options.max_pixels}")
    return name, found


@contextmanager
def open_regular(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file, but not a pipe or device, which might never end."""
    path = Path(path)
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise ImageError("not a regular file")
    with path.open("rb") as file:
        yield file
