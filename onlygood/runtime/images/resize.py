"""The one resize of training and scoring: where an image lies on the model's canvas, and its pixels there."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.spec import InputSpec

Box = tuple[float, float, float, float]  # left, upper, right, lower


def resize(image: Image.Image | NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Bring an 8-bit image of any size to the spec's ``(H, W, C)``; the one resize of training and scoring.

    Bilinear and antialiased. ``stretch`` ignores the aspect ratio. ``crop`` covers the canvas and cuts off
    the same amount on both sides. ``pad`` fits the image inside and fills the rest with the median color of
    its border: on a plain background this makes no edge, and unlike repeated edge pixels it makes no streaks.
    Arrays are ``(H, W)`` or ``(H, W, 1 | 3 | 4)``.
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    box, size = placement(*image.size, spec)
    flat = with_channels(image, spec).resize(size, Image.Resampling.BILINEAR, box=box)
    pixels = np.array(flat).reshape(flat.height, flat.width, spec.channels)
    return pixels if size == (spec.width, spec.height) else _pad(pixels, spec)


def paste_box(width: int, height: int, spec: InputSpec) -> Box:
    """Where the model's canvas lies in an image of this size in pixels: (left, upper, right, lower).

    A heatmap drawn into this box lies on the right parts of the image. With ``pad`` the box is larger than
    the image.
    """
    box, (fitted_width, fitted_height) = placement(width, height, spec)
    if spec.resize != "pad":
        return box
    left, upper = (spec.width - fitted_width) // 2, (spec.height - fitted_height) // 2
    across, down = width / fitted_width, height / fitted_height
    return (-left * across, -upper * down, (spec.width - left) * across, (spec.height - upper) * down)


def placement(width: int, height: int, spec: InputSpec) -> tuple[Box, tuple[int, int]]:
    """The part of the image that is used, and the (width, height) that it takes on the canvas."""
    everything = (0.0, 0.0, float(width), float(height))
    across, down = spec.width / width, spec.height / height
    if spec.resize == "stretch":
        return everything, (spec.width, spec.height)
    if spec.resize == "pad":
        fit = min(across, down)
        return everything, (max(1, round(width * fit)), max(1, round(height * fit)))
    cover = max(across, down)
    left = max(0.0, (width - spec.width / cover) / 2)
    upper = max(0.0, (height - spec.height / cover) / 2)
    return (left, upper, width - left, height - upper), (spec.width, spec.height)


def _pad(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Center the image on a canvas of the median color of its border."""
    height, width, _ = pixels.shape
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    canvas = np.empty((spec.height, spec.width, spec.channels), np.uint8)
    canvas[:] = np.median(border, axis=0).astype(np.uint8)
    left, upper = (spec.width - width) // 2, (spec.height - height) // 2
    canvas[upper : upper + height, left : left + width] = pixels
    return canvas


def with_channels(image: Image.Image, spec: InputSpec) -> Image.Image:
    """Gray (ITU-R 601 luma) or RGB, without alpha; premultiplied colors are restored first."""
    mode = "L" if spec.channels == 1 else "RGB"
    if image.mode == mode:
        return image
    image.info.pop("transparency", None)  # else Pillow warns of a palette's
    step = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}.get(image.mode)  # Pillow has no direct way to gray
    return (image.convert(step) if step else image).convert(mode)


def _from_array(pixels: NDArray[np.uint8]) -> Image.Image:
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if (
        flat.dtype != np.uint8
        or not (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in (3, 4)))
        or not flat.size
    ):
        raise ImageError(
            f"an array must be uint8 (H, W) or (H, W, 1 | 3 | 4), not {pixels.dtype} {pixels.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(flat))
