"""What a mask file marks: whatever differs from the background, in whatever colours it is drawn."""

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
_FEW = 16  # levels that a mask without smoothed edges or losses has, at most
_NUMBERS = 64  # no level above this: numbers of classes
_SOFT = 8  # otherwise a pixel counts from this part of the greatest difference on
_MOST = 0.5  # share of an image above which a mask is questioned
_PHOTO = 64, 0.4  # more levels, of which the eight most frequent hold less: no mask was drawn so


@dataclass(frozen=True)
class Mask:
    """The pixels that a mask marks ``(H, W)``."""

    defect: NDArray[np.bool_]
    photo: bool  # has as many shades as a photograph: hardly a mask

    @property
    def question(self) -> str:
        """Why the mask may not be what it is taken for; "" for nothing."""
        share = float(self.defect.mean())
        if self.photo:
            return "it has as many shades as a photograph: is it a mask?"
        if share > _MOST:
            return (
                f"it marks {share:.0%} of the image: is it inverted? Black or transparent is the background"
            )
        return ""


def read_mask(path: Path) -> Mask:
    """Whatever differs from the background counts as defect.

    The background is transparent or black, if the file has that, else its most frequent colour; so a mask of
    one colour marks nothing. In a mask of few levels, of a palette or of class numbers every other value
    counts, 255 (often "ignore") too. One with smoothed edges or the noise of JPEG counts from an eighth of
    its greatest difference on.

    Raises:
        ImageError: the file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow finds odd in the file: it is read or it is not
            with Image.open(path, formats=_FORMATS) as image:
                lossy, numbers = image.format == "JPEG", image.mode in ("P", "1", "I", "F")
                values = _values(ImageOps.exif_transpose(image))
    except Exception as error:  # whatever a decoder throws at damaged bytes
        raise ImageError(f"mask {display(path)}: {getattr(error, 'strerror', None) or error}") from error
    difference = np.abs(values - _background(values)).max(axis=2)
    levels, counts = _levels(difference)
    exact = not lossy and (numbers or levels[-1] <= _NUMBERS or (len(levels) <= _FEW and not _noisy(levels)))
    least = 0 if exact else levels[-1] / _SOFT
    drawn = np.sort(counts[levels > least])
    photo = not exact and len(levels) > _PHOTO[0] and drawn[-8:].sum() < _PHOTO[1] * drawn.sum()
    return Mask(difference > least, bool(photo))


def _values(image: Image.Image) -> NDArray[Any]:
    """Levels or colours ``(H, W, C)``, signed so that they can be subtracted; transparent pixels are 0."""
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
    return shown if shown.any() else alpha  # drawn in black on nothing


def _levels(difference: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Which values there are, ascending, and how often each."""
    if difference.dtype.kind == "f" or difference.max() > 1 << 20:
        return np.unique(difference, return_counts=True)
    counts = np.bincount(difference.reshape(-1))  # a tenth of the time
    levels = np.flatnonzero(counts)
    return levels, counts[levels]


def _noisy(levels: NDArray[Any]) -> bool:
    """Whether both the background and what is drawn have levels right beside them, as JPEG leaves them."""
    most = levels[-1]
    return bool(((levels > 0) & (levels <= 3)).any() and ((levels < most) & (levels >= most - 3)).any())


def _background(values: NDArray[Any]) -> NDArray[Any]:
    """Colour ``(C,)`` of the background of ``values (H, W, C)``."""
    if (values == 0).all(axis=2).any():
        return np.zeros_like(values[0, 0])
    colors, counts = np.unique(values.reshape(-1, values.shape[2]), axis=0, return_counts=True)
    return np.asarray(colors[counts.argmax()])
