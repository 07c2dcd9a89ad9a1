"""Pixels of more than 8 bits: the range that a file declares, and the reduction to 8 bits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlygood.runtime.errors import ImageError

FULL = 0xFFFF  # white of 16 bits; many programs declare it whatever the camera delivers, so it tells nothing
_ROWS = 64
_SLACK = 1e-6  # by which floating-point values may miss 0 … 1


@dataclass(frozen=True)
class Samples:
    """Pixels as the file has them: integers, or floating-point numbers, without alpha."""

    values: NDArray[Any]  # (H, W) or (H, W, 3)
    white: int | None = None  # the largest value that the file declares; None: the spec's bit depth decides
    inverted: bool = False  # 0 is white
    transparent: bool = False  # there was alpha, and it was not full everywhere


def eight_bit(samples: Samples, bit_depth: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Reduce samples to 8 bits, from black to white; also returns notes on what was done.

    Integers keep the high 8 bits of their depth: the depth that the file declares, or else ``bit_depth``. In
    floating-point images 0 is black and 1 is white; other values have no agreed meaning.

    Raises:
        ImageError: a floating-point value is not in 0 … 1, or an integer is not in 0 … 65535.
    """
    values = samples.values
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ImageError("floating-point pixels that are no numbers; save the image with 8 or 16 bits")
        if low < -_SLACK or high > 1 + _SLACK:
            raise ImageError(
                f"floating-point pixels from {low:.4g} to {high:.4g}, where 0 to 1 is read; "
                "divide by the largest possible value, or save the image with 8 or 16 bits"
            )
        eight = _by_rows(values, lambda part: part.clip(0, 1).astype(np.float32) * 255 + np.float32(0.5))
        return _image(eight, samples), ("bit depth: floating-point pixels, 0 is black and 1 is white",)
    if low < 0 or high > FULL:
        raise ImageError(
            f"pixels outside 0 … 65535 (found {low} … {high}); save the image with 8 or 16 bits a channel"
        )
    white = samples.white or (1 << bit_depth) - 1
    return _image(_scaled(values, white), samples), tuple(_notes(int(high), samples.white, bit_depth))


def _notes(high: int, declared: int | None, bit_depth: int) -> list[str]:
    notes = []
    white = declared or (1 << bit_depth) - 1
    if declared is not None and declared not in (255, FULL, (1 << bit_depth) - 1):
        notes.append(f"bit depth: white is {declared}, as the file itself says")
    if declared is None and bit_depth == 16 and high < 4096:
        notes.append(
            "bit depth: no value of this 16-bit image reaches 4096; does the camera deliver 12 bits?"
        )
    if high > white:
        notes.append(f"bit depth: values beyond {white.bit_length()} bits were clipped")
    return notes


def _scaled(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Integers from 0 to ``white`` as 8 bits, some rows at a time: intermediate values need more bytes."""
    bits = white.bit_length()

    def scale(part: NDArray[Any]) -> NDArray[Any]:
        if white < 255:
            return (part.clip(0, white).astype(np.uint32) * 255 + white // 2) // white
        if white == (1 << bits) - 1:
            return (part >> (bits - 8)).clip(max=255)
        return np.minimum(part.astype(np.uint32) * 256 // (white + 1), 255)

    return _by_rows(values, scale)


def _by_rows(values: NDArray[Any], scale: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.uint8]:
    eight = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):
        eight[start : start + _ROWS] = scale(values[start : start + _ROWS])
    return eight


def _image(eight: NDArray[np.uint8], samples: Samples) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(~eight if samples.inverted else eight))


def png_white(values: NDArray[np.uint16], significant: int) -> int:
    """The value of white in a 16-bit PNG whose sBIT chunk declares ``significant`` bits.

    The standard says that such values are scaled up to 16 bits: they are shifted left, and the low bits are
    zero or repeat the high bits. Some camera software does not scale them. Then no value reaches
    ``2 ** significant``, and the low bits are neither zero nor a repetition.
    """
    if significant >= 16 or int(values.max()) >> significant:
        return FULL
    low = values & ((1 << (16 - significant)) - 1)
    scaled = (low == 0) | (low == values >> significant)
    return FULL if bool(scaled.all()) else (1 << significant) - 1


def without_alpha(pixels: NDArray[Any], colors: int, premultiplied: bool, white: float) -> NDArray[Any]:
    """The first ``colors`` of the channels ``(H, W, S)``, divided by alpha where it was multiplied in."""
    kept = pixels[..., :colors]
    if premultiplied:
        alpha = np.maximum(pixels[..., colors : colors + 1].astype(np.float32), np.float32(white * 1e-6))
        restored = np.minimum(kept * (np.float32(white) / alpha), np.float32(white))
        kept = (restored if pixels.dtype.kind == "f" else restored.round()).astype(pixels.dtype)
    return kept[..., 0] if colors == 1 else kept
