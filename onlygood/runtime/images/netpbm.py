"""PBM, PGM and PPM, binary: Pillow reads many of them in Python, which takes minutes for a large one."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.depth import FULL, Samples

HEAD = 1 << 16  # bytes within which the header ends
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_SIZE = re.compile(rb"P([456])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_LARGEST = re.compile(_GAP + rb"(\d{1,5})")


@dataclass(frozen=True)
class Header:
    """The header of a file."""

    width: int
    height: int
    channels: int  # 1 or 3
    largest: int  # value of a channel
    start: int  # of the pixels

    @property
    def white(self) -> int | None:
        """The largest value that the file declares; None for 65535, which programs write for any camera."""
        return self.largest if self.largest < FULL else None


def read_header(head: bytes) -> Header:
    """Read the header from the first bytes of a file.

    Raises:
        ImageError: the header is damaged, or the file is plain text.
    """
    if head[1:2] in b"123":
        raise ImageError("a Netpbm file (PBM, PGM, PPM) in plain text; save it as a binary one or as PNG")
    size = _SIZE.match(head)
    largest = size if size is None or size[1] == b"4" else _LARGEST.match(head, size.end())
    if size is None or largest is None or head[largest.end() : largest.end() + 1].strip():
        raise ImageError("a damaged Netpbm file (PBM, PGM, PPM): its header cannot be read")
    most = 1 if size[1] == b"4" else int(largest[1])
    width, height = int(size[2]), int(size[3])
    if not (width and height and 0 < most <= FULL):
        raise ImageError("a damaged Netpbm file (PBM, PGM, PPM): its header makes no sense")
    return Header(width, height, 3 if size[1] == b"6" else 1, most, largest.end() + 1)


def read_pixels(data: bytes, header: Header) -> Image.Image | Samples:
    """An 8-bit image, or deeper samples."""
    if data[:2] == b"P4":
        row = (header.width + 7) // 8
        bits = np.unpackbits(_numbers(data, header, row * header.height, "u1").reshape(-1, row), axis=1)
        return Image.fromarray((1 - bits[:, : header.width]) * np.uint8(255))
    letter = ">u2" if header.largest > 255 else "u1"
    values = _numbers(data, header, header.width * header.height * header.channels, letter)
    shape = (header.height, header.width, 3) if header.channels == 3 else (header.height, header.width)
    if header.largest == 255:
        return Image.fromarray(values.reshape(shape))
    return Samples(values.reshape(shape).astype(np.uint16), header.white)


def _numbers(data: bytes, header: Header, count: int, letter: str) -> NDArray[Any]:
    if len(data) - header.start < count * np.dtype(letter).itemsize:
        raise ImageError("a Netpbm file (PBM, PGM, PPM) that is truncated")
    return np.frombuffer(data, letter, count, header.start)
