"""Masks: the pixels that differ from the background, whatever the colors."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.files import display

_FORMATS = ("PNG", "BMP", "TIFF", "JPEG", "WEBP", "GIF", "PPM")  # others may start programs, as EPS does
_FEW = 16  # levels, at most, of a mask without smoothed edges or lossy compression
_NUMBERS = 64  # if no level is above this, levels are class numbers
_SOFT = 8  # in other masks a pixel counts from 1/8 of the greatest difference on
_MOST = 0.5  # share of an image above which a mask is questioned
_PHOTO = 64, 0.4  # more levels than this, and a smaller share in the eight most frequent


@dataclass(frozen=True)
class Mask:
    """The pixels that a mask marks ``(H, W)``."""

    defect: NDArray[np.bool_]
    photo: bool  # has as many shades as a photograph, so it is hardly a mask

    @property
    def question(self) -> str:
        """Why the file may not be a mask; "" if nothing is suspicious."""
        share = float(self.defect.mean())
        if self.photo:
            return "it has as many shades as a photograph: is it a mask?"
        if share > _MOST:
            return (
                f"it marks {share:.0%} of the image: is it inverted? Black or transparent is the background"
            )
        return ""


def read_mask(path: Path) -> Mask:
    """Read a mask: whatever differs from the background counts as defect.

    The background is transparent or black, if the file has such pixels, else the most frequent color. So a
    mask of one color marks nothing. In a mask of few levels, of a palette or of class numbers, all other
    values count, also 255, which often means "ignore". In a mask with smoothed edges or JPEG noise, pixels
    count from an eighth of the greatest difference on.

    Raises:
        ImageError: the file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's doubts; the file is read or refused
            with Image.open(path, formats=_FORMATS) as image:
                lossy, numbers = image.format == "JPEG", image.mode in ("P", "1", "I", "F")
                values = _values(ImageOps.exif_transpose(image))
    except Exception as error:  # a decoder may raise anything for damaged bytes
        raise ImageError(f"mask {display(path)}: {getattr(error, 'strerror', None) or error}") from error
    difference = np.abs(values - _background(values)).max(axis=2)
    levels, counts = _levels(difference)
    exact = not lossy and (numbers or levels[-1] <= _NUMBERS or (len(levels) <= _FEW and not _noisy(levels)))
    least = 0 if exact else levels[-1] / _SOFT
    drawn = np.sort(counts[levels > least])
    photo = not exact and len(levels) > _PHOTO[0] and drawn[-8:].sum() < _PHOTO[1] * drawn.sum()
    return Mask(difference > least, bool(photo))


def _values(image: Image.Image) -> NDArray[Any]:
    """Levels or colors ``(H, W, C)``, signed so that they can be subtracted; transparent pixels are 0."""
    has_alpha = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    if not has_alpha and (image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")):
        levels = np.asarray(image)
        levels = np.nan_to_num(levels) if image.mode == "F" else levels.astype(np.int64)
        return levels[..., None]
    if not has_alpha:
        colors = np.asarray(image.convert("RGB"), np.int32)
        if image.mode == "P" and not np.ptp(colors, axis=(0, 1)).any():  # a palette that says nothing
            return np.asarray(image, np.int32)[..., None]
        return colors
    pixels = np.asarray(image.convert("RGBA"), np.int32)
    alpha = pixels[..., 3:]
    shown = pixels[..., :3] * alpha // 255
    return shown if shown.any() else alpha  # black on transparent


def _levels(difference: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The distinct values, ascending, and how often each occurs."""
    if difference.dtype.kind == "f" or difference.max() > 1 << 20:
        return np.unique(difference, return_counts=True)
    counts = np.bincount(difference.reshape(-1))  # a tenth of the time
    levels = np.flatnonzero(counts)
    return levels, counts[levels]


def _noisy(levels: NDArray[Any]) -> bool:
    """Whether the lowest and the highest level have close neighbors, as JPEG compression makes them."""
    most = levels[-1]
    return bool(((levels > 0) & (levels <= 3)).any() and ((levels < most) & (levels >= most - 3)).any())


def _background(values: NDArray[Any]) -> NDArray[Any]:
    """Color ``(C,)`` of the background of ``values`` ``(H, W, C)``."""
    if (values == 0).all(axis=2).any():
        return np.zeros_like(values[0, 0])
    colors, counts = np.unique(values.reshape(-1, values.shape[2]), axis=0, return_counts=True)
    return np.asarray(colors[counts.argmax()])
