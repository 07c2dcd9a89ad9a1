"""An opened picture file: what its header says, and how its pixels are decoded, for each format.

Nothing here changes global state, so threads may use it at the same time. A JPEG whose entropy-coded data is
corrupt still decodes, to wrong pixels; it is scored like any other image.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images import guards, netpbm, tiff
from onlygood.runtime.images.depth import FULL, Samples, png_white
from onlygood.runtime.images.resize import placement
from onlygood.runtime.images.spec import InputSpec

Decoded = Image.Image | Samples
Turn = Image.Transpose | None


@dataclass(frozen=True)
class Source:
    """What the header of a file says, and the decoder of its pixels."""

    width: int  # as stored
    height: int
    gray: bool  # one channel, alpha aside
    bits: int  # of a channel
    white: int | None  # of more than 8 bits, the largest value that the file declares
    decode: Callable[[InputSpec], tuple[Decoded, int]]  # second: the factor by which a JPEG was shrunk
    turn: Callable[[], Turn]  # turns the image upright; final only after decoding
    notes: tuple[str, ...] = ()
    tile: tuple[int, int] = (1, 1)  # size of a TIFF's tiles, which may exceed their image

    @property
    def cost(self) -> int:
        """An estimate of the bytes that decoding takes at its peak, without those of the file."""
        return self.width * self.height * (18 if self.bits <= 8 else max(32, 2 * self.bits))


def open_source(name: str, file: IO[bytes]) -> Source:
    """Read the header of a file of the format ``name``, which stays open while the source is used."""
    openers = {
        "PNG": _open_png,
        "TIFF": _open_tiff,
        "Netpbm": _open_netpbm,
        "JPEG 2000": _open_jpeg2000,
    }
    file.seek(0)
    return openers[name](file) if name in openers else _open_plain(name, file)


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
SIDEWAYS = {_TRANSPOSITIONS[value] for value in (5, 6, 7, 8)}


def _turn(image: Image.Image) -> Turn:
    """From the EXIF orientation; Pillow itself turns a TIFF while loading and drops the tag."""
    try:
        return _TRANSPOSITIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF, which raises anything; the pixels may be fine
        return None


# --- formats of 8 bits


def _plugin(name: str) -> Callable[[IO[bytes]], ImageFile.ImageFile]:
    if name == "AVIF":
        if not features.check("avif"):
            raise ImageError(
                "an AVIF picture, which the installed Pillow cannot read; save it as PNG or JPEG"
            )
        from PIL.AvifImagePlugin import AvifImageFile  # noqa: PLC0415 - absent from some builds

        return AvifImageFile
    if name == "HEIC":
        try:
            import pillow_heif  # noqa: PLC0415 - an extra
        except ImportError:
            raise ImageError(
                "an HEIC picture, which needs an extra: pip install 'onlygood[heif]', or save it as JPEG"
            ) from None
        return pillow_heif.HeifImageFile  # type: ignore[no-any-return]
    return {"JPEG": JpegImageFile, "BMP": BmpImageFile, "WebP": WebPImageFile, "GIF": GifImageFile}[name]


def _open_plain(name: str, file: IO[bytes]) -> Source:
    frames = 1
    if name == "JPEG":
        guards.jpeg_segments(file)
    elif name == "GIF":
        frames = guards.gif_frames(file)
    file.seek(0)
    image = _plugin(name)(file)
    if name == "BMP" and image.tile and image.tile[0].codec_name == "bmp_rle":
        guards.bmp_runs(file, *image.size)
    if name in ("WebP", "AVIF", "HEIC"):
        frames = getattr(image, "n_frames", 1)

    def decode(spec: InputSpec) -> tuple[Decoded, int]:
        if isinstance(image, JpegImageFile):
            guards.jpeg_scans(_whole(file), image.width * image.height)
        factor = _draft(image, spec)
        image.load()
        return image, factor

    notes = _page_note(frames) + _profile_note(image.info.get("icc_profile"))
    return Source(*image.size, _is_gray(image), 8, None, decode, lambda: _turn(image), notes)


def _whole(file: IO[bytes]) -> bytes:
    return file.getvalue() if isinstance(file, io.BytesIO) else file.read()


def _is_gray(image: Image.Image) -> bool:
    return image.mode.startswith(("1", "L", "I")) and image.mode != "LAB"


def _page_note(pages: int) -> tuple[str, ...]:
    if pages <= 1:
        return ()
    most = guards.MAX_FRAMES
    return (f"frames: page 1 of {pages if pages <= most else f'more than {most}'}",)


def _profile_note(profile: object) -> tuple[str, ...]:
    """A note if the color profile is not sRGB, told by the name inside it, in ASCII or UTF-16."""
    known = not isinstance(profile, bytes) or b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile
    return () if known else ("color profile: the file has one other than sRGB, which is not applied",)


def transparent(image: Image.Image) -> bool:
    """Whether some pixels have no full alpha, or, of palettes and of a single clear color, may have none."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return int(image.getchannel(len(image.getbands()) - 1).getextrema()[0]) < 255  # type: ignore[arg-type]
    return "transparency" in image.info


def _draft(image: ImageFile.ImageFile, spec: InputSpec) -> int:
    """Let libjpeg shrink a large JPEG while decoding, by the returned factor; this saves most of the time.

    Only if the spec says "reduced". The factor divides both sides, so that pixels do not move, and leaves at
    least twice the size that is needed.
    """
    if spec.jpeg == "full" or not isinstance(image, JpegImageFile):
        return 1
    width, height = image.size
    sideways = _turn(image) in SIDEWAYS
    box, size = placement(height, width, spec) if sideways else placement(width, height, spec)
    room = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / 2
    for factor in (8, 4, 2):
        if factor <= room and width % factor == 0 and height % factor == 0:
            image.draft(image.mode, (width // factor, height // factor))
            return factor
    return 1


# --- PNG


def _open_png(file: IO[bytes]) -> Source:
    significant = guards.png_chunks(file, until=b"IDAT")
    file.seek(0)
    image = PngImageFile(file)
    arguments = image.tile[0].args if image.tile else ""
    layout = str(arguments[0] if isinstance(arguments, tuple) else arguments)
    deep = ";16" in layout

    def decode(spec: InputSpec) -> tuple[Decoded, int]:
        guards.png_chunks(file, until=b"IEND")
        file.seek(0)
        PngImageFile(file).verify()  # Pillow checks the CRC of pixel data only when asked, of a fresh image
        file.seek(0)
        decoded = PngImageFile(file)
        decoded.load()
        png.append(decoded)
        if not deep:
            return decoded, 1
        values = _png_values(decoded, layout, file)
        white = None if significant is None else png_white(values, significant)
        return Samples(values, white, transparent=transparent(decoded)), 1

    png: list[Image.Image] = [image]
    bits = 16 if deep else 8
    gray = _is_gray(image) or layout == "LA;16B"
    white = FULL if deep and significant is not None else None
    notes = _page_note(image.n_frames) + _profile_note(image.info.get("icc_profile"))
    return Source(*image.size, gray, bits, white, decode, lambda: _turn(png[-1]), notes)


def _png_values(image: PngImageFile, layout: str, file: IO[bytes]) -> NDArray[np.uint16]:
    """All 16 bits. Of all but gray images Pillow gives the high bytes only; a second decode gives the low."""
    if layout == "I;16B":
        return np.asarray(image).astype(np.uint16)
    file.seek(0)
    low = PngImageFile(file)
    other = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}[layout]
    low.tile = [low.tile[0]._replace(args=other)]
    low.load()
    bytes_low = np.asarray(low)
    if layout == "LA;16B":  # four bytes a pixel: gray (high, low), alpha (high, low)
        high, bytes_low = bytes_low[..., 0], bytes_low[..., 1]
    else:
        high, bytes_low = np.asarray(image)[..., :3], bytes_low[..., :3]
    values: NDArray[np.uint16] = high.astype(np.uint16) << 8 | bytes_low
    return values


# --- TIFF, Netpbm, JPEG 2000


def _open_tiff(file: IO[bytes]) -> Source:
    tags = tiff.read_tags(file)
    if tiff.DNG_VERSION in tags.values:
        raise ImageError(
            "a camera raw file (DNG), which is not read; develop it, and save it as PNG, TIFF or JPEG"
        )
    width, height = tags.first(tiff.WIDTH, 0), tags.first(tiff.HEIGHT, 0)
    if not (width and height):
        raise ImageError("a damaged TIFF file: it does not say how large it is")
    turn = _TRANSPOSITIONS.get(tags.first(tiff.ORIENTATION, 1))
    ours = tags.colors > 0 and (tags.bits > 8 or tags.premultiplied_gray)
    notes = _page_note(tags.pages) + _profile_note(bytes(tags.values.get(tiff.ICC_PROFILE, ())) or None)
    if tags.first(tiff.SUBFILE, 0) & 1:
        notes += ("thumbnail: the file calls this page a smaller version of another",)
    extra = tags.first(tiff.SAMPLES, 1) - tags.colors
    if ours and extra > 0 and tags.first(tiff.EXTRA, 0) == 0:
        notes += (f"channels: the first {tags.colors} of {tags.first(tiff.SAMPLES, 1)} were read",)
    turned = []

    def decode(spec: InputSpec) -> tuple[Decoded, int]:
        if ours:
            return tiff.deep_samples(_whole(file), tags, spec.bit_depth), 1
        file.seek(0)
        image = _eight_bit_tiff(file, tags, spec)
        image.load()
        turned.append(True)
        return image, 1

    return Source(
        width,
        height,
        gray=tags.first(tiff.PHOTOMETRIC, 0) in (0, 1),
        bits=tags.bits,
        white=tags.white if ours and tags.bits > 8 else None,
        decode=decode,
        turn=lambda: None if turned else turn,
        notes=notes,
        tile=(tags.first(tiff.TILE_WIDTH, 1), tags.first(tiff.TILE_HEIGHT, 1)),
    )


def _eight_bit_tiff(file: IO[bytes], tags: tiff.Tags, spec: InputSpec) -> ImageFile.ImageFile:
    if tags.bits > 8 and spec.bit_depth < 16:  # of these kinds Pillow gives the high bytes
        raise ImageError(f"{tags.describe()}, is read at bit depth 16 only, not {spec.bit_depth}")
    try:
        return tiff.EightBitTiff(file)
    except SyntaxError as error:
        if "mode" in str(error) or "data organization" in str(error):
            raise ImageError(
                f"{tags.describe()}, is not read; 8 or 16 bits, grey, RGB or RGBA are: save it as such"
            ) from error
        raise


def _open_netpbm(file: IO[bytes]) -> Source:
    header = netpbm.read_header(file.read(netpbm.HEAD))
    bits = max(8, header.largest.bit_length())

    def decode(_: InputSpec) -> tuple[Decoded, int]:
        return netpbm.read_pixels(_whole(file), header), 1

    white = header.white if bits > 8 else None
    return Source(header.width, header.height, header.channels == 1, bits, white, decode, lambda: None)


def _open_jpeg2000(file: IO[bytes]) -> Source:
    if not features.check("jpg_2000"):
        raise ImageError(
            "a JPEG 2000 picture, which the installed Pillow cannot read; save it as PNG or TIFF"
        )
    precision = guards.jpeg2000_precision(file)
    file.seek(0)
    image = Jpeg2KImageFile(file)
    white = FULL if 8 < precision < 16 else None  # Pillow scales what is declared up to 16 bits

    def decode(spec: InputSpec) -> tuple[Decoded, int]:
        if precision >= 16 and spec.bit_depth < 16 and not image.mode.startswith("I"):
            raise ImageError(
                f"a JPEG 2000 file of 16-bit color is read at bit depth 16 only, not {spec.bit_depth}; "
                "save it as PNG or TIFF"
            )
        image.load()
        deep = image.mode.startswith("I")
        return (Samples(np.asarray(image), white) if deep else image), 1

    bits = 16 if precision > 8 else 8
    return Source(
        *image.size,
        _is_gray(image),
        bits,
        white,
        decode,
        lambda: _turn(image),
        _profile_note(image.info.get("icc_profile")),
    )
