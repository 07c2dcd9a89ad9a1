"""The one reader of images, for training and for scoring: bytes in, uint8 ``(H, W, C)`` out, or a reason.

Whatever the bytes are, the answer is a `LoadedImage` or an `ImageError`. Pillow's format plugins are called
directly, not through `Image.open`: only the formats of the allow-list can be reached, and the pixel limit is
ours, checked on the header. Nothing here touches global state, so threads may share it. A JPEG whose
entropy-coded data is corrupt still decodes, as garbage; it is scored, and looks as anomalous as it is.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.spec import InputSpec

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
DEFAULT_MAX_PIXELS = 100_000_000

Box = tuple[float, float, float, float]  # left, upper, right, lower


@dataclass(frozen=True)
class ReadOptions:
    """Limits of the reader."""

    max_pixels: int = DEFAULT_MAX_PIXELS  # width times height, as the header declares them


DEFAULTS = ReadOptions()


@dataclass(frozen=True)
class LoadedImage:
    """An image as the model takes it."""

    pixels: NDArray[np.uint8]  # (H, W, C) of the spec
    width: int  # of the file, after EXIF orientation
    height: int
    notes: tuple[str, ...]  # what a person should know, such as further pages


@dataclass(frozen=True)
class Header:
    """What a file says of itself before it is decoded."""

    width: int  # after EXIF orientation (of a PNG, whose EXIF may follow the pixels, before it)
    height: int
    grey: bool  # one channel, alpha aside
    sixteen_bit: bool  # more than 8 bits a channel


def load_image(source: bytes | Path | str, spec: InputSpec, options: ReadOptions = DEFAULTS) -> LoadedImage:
    """Read the first page of a file (its content or its path) as the model of ``spec`` takes it.

    EXIF orientation is applied, alpha dropped (transparent pixels keep their colour), and 16-bit grey reduced
    to 8 bits by the spec's bit depth.

    Raises:
        ImageError: with a short reason, whatever is wrong with the file.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, options)
    with _decoder_errors():
        image = _open(io.BytesIO(data), options)
        notes = _page_note(image)
        _refuse_shallow_colour(image, spec)
        scale = _draft(image, spec)
        image.load()
        if image.format == "PNG":  # Pillow checks the CRC of pixel data only when asked, of a fresh image
            _open(io.BytesIO(data), options).verify()
        eight, depth_notes = _eight_bit(image, spec)
        transposition = _transposition(image)
        upright = eight if transposition is None else eight.transpose(transposition)
        pixels = resize(upright, spec)
    return LoadedImage(pixels, upright.width * scale, upright.height * scale, notes + depth_notes)


def read_header(path: Path | str, options: ReadOptions = DEFAULTS) -> Header:
    """Read size and kind without decoding any pixel; raises `ImageError` like `load_image`."""
    with _file_errors(), _regular_file(path) as file, _decoder_errors():
        image = _open(file, options)
        width, height = image.size  # Pillow has turned a TIFF's already
        if image.format in ("JPEG", "WEBP") and _transposition(image) in _SIDEWAYS:
            width, height = height, width
        grey = image.mode.startswith(("1", "L", "I", "F")) and image.mode != "LAB"
        deep = image.mode.startswith(("I", "F")) or ";16" in _raw_mode(image)
    return Header(width, height, grey, deep)


def read_bytes(path: Path | str, options: ReadOptions = DEFAULTS) -> bytes:
    """Content of an image file, which must be a regular one and no larger than an image can be."""
    with _file_errors(), _regular_file(path) as file:
        limit = 8 * options.max_pixels + 2**26  # four 16-bit channels, uncompressed, and generous metadata
        if os.fstat(file.fileno()).st_size > limit:
            raise ImageError(f"larger than any image of {options.max_pixels} pixels")
        return file.read()


def resize(image: Image.Image | NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Bring an 8-bit image of any size to the spec's ``(H, W, C)``; the one resize of training and scoring.

    Bilinear and antialiased. ``stretch`` ignores the aspect ratio; ``crop`` covers the canvas and cuts what
    hangs over, evenly; ``pad`` fits inside and fills the rest with the median colour of the image's border,
    which makes no edge where the background is plain and, unlike repeated edge pixels, no streaks where not.
    Arrays are ``(H, W)`` or ``(H, W, 1 | 3 | 4)``.
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    box, size = _placement(*image.size, spec)
    flat = _channels(image, spec).resize(size, Image.Resampling.BILINEAR, box=box)
    pixels = np.array(flat).reshape(flat.height, flat.width, spec.channels)
    return pixels if size == (spec.width, spec.height) else _pad(pixels, spec)


def paste_box(width: int, height: int, spec: InputSpec) -> Box:
    """Where the model's canvas lies in an image of this size in pixels: (left, upper, right, lower).

    A heatmap drawn into this box lies on what it speaks of. The box of ``pad`` is larger than the image.
    """
    box, (fitted_width, fitted_height) = _placement(width, height, spec)
    if spec.resize != "pad":
        return box
    left, upper = (spec.width - fitted_width) // 2, (spec.height - fitted_height) // 2
    across, down = width / fitted_width, height / fitted_height
    return (-left * across, -upper * down, (spec.width - left) * across, (spec.height - upper) * down)


# --- files and decoders


class _Tiff(TiffImageFile):
    """A TIFF without Pillow's own pixel limit, which warns on loading; ours was checked on the header."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()


def _plugin(head: bytes) -> type[ImageFile.ImageFile]:
    """The allowed format that a file's first 12 bytes announce."""
    if head.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if head.startswith(b"BM"):
        return BmpImageFile
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _Tiff
    if head.startswith(b"RIFF") and head[8:] == b"WEBP":
        return WebPImageFile
    raise ImageError("file is empty" if not head else f"not an image of type {', '.join(FORMATS)}")


def _open(file: IO[bytes], options: ReadOptions) -> ImageFile.ImageFile:
    """Read the header and refuse what would be too large to decode."""
    plugin = _plugin(file.read(12))
    file.seek(0)
    image = plugin(file)
    _limit(image.width, image.height, options)
    if isinstance(image, TiffImageFile):
        _limit(image.tag_v2.get(322, 1), image.tag_v2.get(323, 1), options)  # a tile may exceed its image
    return image


def _limit(width: int, height: int, options: ReadOptions) -> None:
    if width * height > options.max_pixels:
        raise ImageError(f"{width} x {height} pixels are more than the limit of {options.max_pixels}")


@contextmanager
def _regular_file(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file, but no pipe or device, which might never end."""
    path = Path(path)
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise ImageError("not a regular file")
    with path.open("rb") as file:
        yield file


@contextmanager
def _file_errors() -> Iterator[None]:
    """Say "no such file or directory", "permission denied" …, without the path, which the caller knows."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(reason.lower()) from error


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Turn whatever a decoder throws at hostile bytes, which is any exception at all, into a reason."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        if "truncated" in text.lower():
            raise ImageError("file is truncated") from error
        raise ImageError(f"cannot be decoded: {text[:100] or type(error).__name__}") from error


def _page_note(image: ImageFile.ImageFile) -> tuple[str, ...]:
    frames = getattr(image, "n_frames", 1)
    return (f"frames: page 1 of {frames}",) if frames > 1 else ()


# --- orientation

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_TRANSPOSITIONS[value] for value in (5, 6, 7, 8)}


def _transposition(image: Image.Image) -> Image.Transpose | None:
    """What turns the image upright; Pillow itself turns a TIFF while loading and drops the tag."""
    try:
        return _TRANSPOSITIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF, in as many ways as bytes can be: it says nothing against the pixels
        return None


# --- bit depth and channels


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Layout of the pixels of a PNG or TIFF, such as "RGB;16B"; "" for the other formats."""
    if image.format not in ("PNG", "TIFF") or not image.tile:
        return ""
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _refuse_shallow_colour(image: ImageFile.ImageFile, spec: InputSpec) -> None:
    """Pillow keeps the high byte of 16-bit colour: right for 16 bits, nearly black for 12."""
    if ";16" in _raw_mode(image) and not image.mode.startswith("I") and spec.bit_depth < 16:
        raise ImageError(f"16-bit colour can only be read at bit depth 16, not {spec.bit_depth}")


def _eight_bit(image: Image.Image, spec: InputSpec) -> tuple[Image.Image, tuple[str, ...]]:
    """Reduce 16-bit grey to the 8 high bits of the declared depth."""
    if image.mode == "F":
        raise ImageError("floating-point pixels have no agreed range; save the image with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image, ()
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise ImageError(f"32-bit pixels outside 0 … 65535 (found {low} … {high})")
    notes = []
    if spec.bit_depth == 16 and high < 4096:
        notes.append(
            "bit depth: no value of this 16-bit image reaches 4096; does the camera deliver 12 bits?"
        )
    if high >> spec.bit_depth:
        notes.append(f"bit depth: values beyond {spec.bit_depth} bits were clipped")
    eight = np.minimum(values >> (spec.bit_depth - 8), 255).astype(np.uint8)
    return Image.fromarray(eight), tuple(notes)


def _channels(image: Image.Image, spec: InputSpec) -> Image.Image:
    """Grey (ITU-R 601 luma) or RGB, without alpha."""
    mode = "L" if spec.channels == 1 else "RGB"
    if image.mode == mode:
        return image
    image.info.pop("transparency", None)  # else Pillow warns of a palette's
    return image.convert(mode)


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


# --- geometry


def _placement(width: int, height: int, spec: InputSpec) -> tuple[Box, tuple[int, int]]:
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
    """Centre the image on a canvas of its border's median colour."""
    height, width, _ = pixels.shape
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    canvas = np.empty((spec.height, spec.width, spec.channels), np.uint8)
    canvas[:] = np.median(border, axis=0).astype(np.uint8)
    left, upper = (spec.width - width) // 2, (spec.height - height) // 2
    canvas[upper : upper + height, left : left + width] = pixels
    return canvas


def _draft(image: ImageFile.ImageFile, spec: InputSpec) -> int:
    """Let libjpeg shrink a large JPEG while decoding, by the returned factor; it saves most of the time.

    Only by a factor that divides both sides, so that pixels stay where they were, and that leaves at least
    twice the size needed: on photographs the result is then within about 2 grey levels of the full decode.
    """
    if spec.jpeg == "full" or not isinstance(image, JpegImageFile):
        return 1
    width, height = image.size
    sideways = _transposition(image) in _SIDEWAYS
    box, size = _placement(height, width, spec) if sideways else _placement(width, height, spec)
    room = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / 2
    for factor in (8, 4, 2):
        if factor <= room and width % factor == 0 and height % factor == 0:
            image.draft(image.mode, (width // factor, height // factor))
            return factor
    return 1
