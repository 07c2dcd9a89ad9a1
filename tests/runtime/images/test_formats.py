"""Kinds of pictures: which are read, and what is said of those that are not."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import SCENE, H, W, chunk, encode, png16, seeds, tiff
from PIL import Image, features

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images import sources
from onlygood.runtime.images.formats import FORMATS, RAW_SUFFIXES, READ_SUFFIXES, UNREAD_SUFFIXES, format_of
from onlygood.runtime.images.notes import NoteCounts
from onlygood.runtime.images.reader import load_image, read_header
from onlygood.runtime.images.reasons import in_words
from onlygood.runtime.images.spec import InputSpec

RGB = InputSpec(height=H, width=W, channels=3)
GRAY = InputSpec(height=H, width=W, channels=1)
LUMA = np.asarray(Image.fromarray(SCENE).convert("L"))


def reason(source: bytes | Path) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source, RGB)
    return str(caught.value)


@pytest.mark.parametrize("name", seeds())
def test_every_format_is_known_and_read(name: str) -> None:
    data = seeds()[name]
    assert format_of(data[:4096]) in FORMATS
    for spec in (RGB, GRAY):
        assert load_image(data, spec).pixels.shape == (H, W, spec.channels)


@pytest.mark.parametrize("name", ["ppm", "ppm_16", "apng", "jp2", "j2k", "tiff_big", "png_16_interlaced"])
def test_lossless_formats_give_their_own_pixels(name: str) -> None:
    if name in ("jp2", "j2k") and not features.check("jpg_2000"):
        pytest.skip("this Pillow reads no JPEG 2000")
    np.testing.assert_array_equal(load_image(seeds()[name], RGB).pixels, SCENE)
    np.testing.assert_array_equal(load_image(seeds()[name], GRAY).pixels[..., 0], LUMA)


def test_gif_gives_its_first_frame() -> None:
    frames = [Image.fromarray(np.full((H, W), level, np.uint8)) for level in (10, 200, 90)]
    loaded = load_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), GRAY)
    assert (loaded.pixels == 10).all()
    assert loaded.notes == ("frames: page 1 of 3",)


def test_bitmap_of_a_width_that_fills_no_byte() -> None:
    bits = SCENE[:, :13, 0] > 127
    data = b"P4\n13 16\n" + np.packbits(bits, axis=1).tobytes()
    pixels = load_image(data, InputSpec(height=16, width=13, channels=1)).pixels[..., 0]
    np.testing.assert_array_equal(pixels, np.where(bits, 0, 255))


def test_run_length_encoded_bmp() -> None:
    pixels = load_image(seeds()["bmp_rle"], RGB).pixels
    want = [(level // 2, 255 - level, level) for level in range(H - 1, -1, -1)]  # rows from the bottom
    np.testing.assert_array_equal(pixels[:, 0], want)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_close_to_what_went_in() -> None:
    plain = np.full((64, 64, 3), (200, 90, 40), np.uint8)
    pixels = load_image(encode(plain, "AVIF", quality=95), RGB).pixels
    assert np.abs(pixels.astype(int) - (200, 90, 40)).max() <= 3


@pytest.mark.parametrize(
    ("feature", "name", "words"), [("avif", "avif", "AVIF"), ("jpg_2000", "jp2", "JPEG 2000")]
)
def test_what_this_pillow_was_built_without(
    feature: str, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in seeds():
        pytest.skip("cannot be made here")
    data = seeds()[name]
    monkeypatch.setattr(sources.features, "check", lambda asked: asked != feature)
    said = reason(data)
    assert said.startswith(f"an {words}" if words == "AVIF" else f"a {words}")
    assert "Pillow cannot read" in said


def heic(size: int = 64) -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(size)


def test_heic_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install 'onlygood[heif]'" in reason(heic())


def test_heic_is_close_to_what_went_in() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    plain = Image.fromarray(np.full((64, 64, 3), (200, 90, 40), np.uint8))
    pillow_heif.from_pillow(plain).save(buffer, quality=95)
    loaded = load_image(buffer.getvalue(), RGB)
    assert np.abs(loaded.pixels.astype(int) - (200, 90, 40)).max() <= 3
    assert (loaded.width, loaded.height, loaded.notes) == (64, 64, ())


def test_damaged_heic() -> None:
    pytest.importorskip("pillow_heif")
    assert reason(heic()) == "a damaged HEIC file: its header cannot be read"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix", "HEIC"),
    ],
)
def test_containers_are_told_by_their_brands(data: bytes, words: str) -> None:
    assert format_of(data + bytes(100)) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"8BPS\0\1" + bytes(60), "a Photoshop picture (PSD)"),
        (bytes(128) + b"DICM" + bytes(60), "a DICOM picture"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing (SVG)"),
        (b"  <svg width='3'/>", "a drawing (SVG)"),
        (b"\x76\x2f\x31\x01" + bytes(60), "an OpenEXR picture"),
        (b"#?RADIANCE\n", "a Radiance HDR picture"),
        (b"\xff\x0a" + bytes(60), "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"II\xbc\x01" + bytes(60), "a JPEG XR picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera raw file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera raw file"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "a video, no picture"),
        (b"RIFF\0\0\0\0AVI LIST", "a sound or a video, no picture"),
        (b"%PDF-1.7", "a PostScript or PDF file, no picture"),
        (b"PK\3\4" + bytes(60), "an archive or office document, no picture"),
        (b"<!DOCTYPE html><html>404</html>", "a web page, no picture"),
        (b"Pf\n3 2\n-1.0\n", "a floating-point Netpbm picture (PFM)"),
        (b"P2\n3 1\n255\n1 2 3\n", "a Netpbm file (PBM, PGM, PPM) in plain text; save it as a binary one"),
        (b"SIMPLE  =                    T", "a FITS picture"),
        (bytes(5000), "nothing but zeros"),
        (b"path,label\n", "text, no picture"),
        (b"\x9d\x01\x02\x03" * 9, "not a picture of a known kind; read are JPEG, PNG"),
        (b"", "file is empty"),
    ],
)
def test_everything_else_is_named(data: bytes, words: str) -> None:
    assert reason(data).startswith(words)


def test_pictures_that_are_not_read_say_what_would_be() -> None:
    for data in (b"8BPS" + bytes(9), bytes(128) + b"DICM", b"<svg>", b"\x76\x2f\x31\x01", b"\xff\x0a"):
        assert "save it as PNG, TIFF or JPEG" in reason(data)


@pytest.mark.parametrize("suffix", [".NEF", ".arw", ".dng", ".cr2"])
def test_raw_files_are_told_by_their_names_too(tmp_path: Path, suffix: str) -> None:
    """Their first page is often a thumbnail, which must not be scored in place of the picture."""
    thumbnail = tmp_path / f"shot{suffix}"
    thumbnail.write_bytes(tiff(SCENE, photometric=2))
    assert reason(thumbnail).startswith("a camera raw file")
    with pytest.raises(ImageError, match="camera raw"):
        read_header(thumbnail)
    thumbnail.write_bytes(encode(SCENE))  # a picture under a wrong name is a picture
    np.testing.assert_array_equal(load_image(thumbnail, RGB).pixels, SCENE)


def test_endings_are_of_one_kind() -> None:
    assert not READ_SUFFIXES & UNREAD_SUFFIXES
    assert RAW_SUFFIXES <= UNREAD_SUFFIXES
    assert all(ending == ending.lower() and ending[0] == "." for ending in READ_SUFFIXES | UNREAD_SUFFIXES)
    for ending in (".heic", ".ppm", ".pgm", ".jp2", ".avif", ".gif", ".webp"):
        assert ending in READ_SUFFIXES
    for ending in (".dcm", ".psd", ".svg", ".cr2", ".nef", ".arw", ".dng", ".exr", ".hdr"):
        assert ending in UNREAD_SUFFIXES


# --- notes


def test_color_profile_other_than_srgb_is_noted() -> None:
    said = ("color profile: the file has one other than sRGB, which is not applied",)
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        plain = encode(SCENE, form)
        other = encode(SCENE, form, icc_profile=b"\0" * 40 + b"Display P3" + b"\0" * 90)
        srgb = encode(SCENE, form, icc_profile=b"\0" * 40 + "sRGB".encode("utf-16-be") + b"\0" * 90)
        assert [load_image(data, RGB).notes for data in (plain, srgb, other)] == [(), (), said]


ALPHA = "alpha: transparent pixels are read with the color that they hide"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_noted_where_it_is_not_full(mode: str, form: str) -> None:
    if (mode, form) == ("LA", "WEBP"):
        return  # which has no such kind
    image = Image.fromarray(SCENE).convert(mode)
    full = encode(image, form, lossless=True)
    image.putalpha(Image.fromarray(np.where(SCENE[..., 0] > 100, 255, 254).astype(np.uint8)))
    said = [load_image(data, RGB).notes for data in (full, encode(image, form, lossless=True))]
    assert said == [(), (ALPHA,)]


def test_alpha_of_16_bits_and_of_palettes_is_noted() -> None:
    def deep(alpha: int) -> bytes:
        row = b"\0" + struct.pack(">8H", *[60000] * 3, 65535, *[60000] * 3, alpha)
        head = struct.pack(">IIBBBBB", 2, 1, 16, 6, 0, 0, 0)
        parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + parts

    assert [load_image(deep(alpha), RGB).notes for alpha in (65535, 0)] == [(), (ALPHA,)]
    palette = Image.fromarray(SCENE).quantize(4)
    clear = encode(palette, "PNG", transparency=0)
    assert [load_image(data, RGB).notes for data in (encode(palette, "PNG"), clear)] == [(), (ALPHA,)]


def test_colors_that_are_no_rgb_are_noted() -> None:
    cmyk = Image.fromarray(SCENE).convert("CMYK")
    for form in ("JPEG", "TIFF"):
        said = load_image(encode(cmyk, form), RGB).notes
        assert said == ("color kind: CMYK, turned into RGB by formula, without a profile",)


def test_notes_are_counted_by_kind() -> None:
    counts = NoteCounts()
    told = [counts.add(f"frames: page 1 of {pages}") for pages in (3, 3, 3)]
    assert told == [True, False, False]
    assert counts.lines() == ["3 images: frames: page 1 of 3"]
    assert counts.add("bit depth: clipped")
    assert not counts.add("frames: page 1 of 7")
    assert counts.lines() == ["4 images: frames: page 1 of 3, and the like", "1 image: bit depth: clipped"]


# --- what decoders print


PRINTS = """
import os, sys
from onlygood.runtime.images.silence import silence_decoders
if "silent" in sys.argv:
    silence_decoders()
from pathlib import Path
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.spec import InputSpec
for path in sys.argv[1:3]:
    try:
        load_image(Path(path), InputSpec(height=16, width=24, channels=3))
    except Exception as error:
        print(error)
"""


@pytest.mark.parametrize("silent", [True, False])
def test_decoders_print_nothing_when_told_so(tmp_path: Path, silent: bool) -> None:
    """libtiff writes to stderr by itself, as of the first file; Pillow warns, as of the second."""
    lzw = bytearray(encode(np.tile(SCENE, (4, 4, 1)), "TIFF", compression="tiff_lzw"))
    for at in range(200, 4000):
        lzw[at] ^= 0x5A
    (tmp_path / "a.tif").write_bytes(lzw)
    header = chunk(b"IHDR", (W).to_bytes(4) + (H).to_bytes(4) + b"\x10\0\0\0\0")
    png = png16(SCENE[..., 0]).replace(header, header + chunk(b"acTL", bytes(8)))
    (tmp_path / "b.png").write_bytes(png)
    command = [sys.executable, "-c", PRINTS, str(tmp_path / "a.tif"), str(tmp_path / "b.png")]
    done = subprocess.run(  # noqa: S603
        [*command, "silent" if silent else "loud"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "a damaged TIFF file: its pixels cannot be read\n"
    assert ("APNG" in done.stderr) is not silent
    if silent:
        assert done.stderr == ""


# --- reasons


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError(272), "a damaged TIFF file: its header cannot be read"),
        (IndexError("string index out of range"), "a damaged TIFF file: its header cannot be read"),
        (OSError("could not create decoder object"), "a damaged TIFF file: its header cannot be read"),
        (ZeroDivisionError(), "a damaged TIFF file: its header cannot be read"),
        (OSError("image file is truncated (3 bytes not processed)"), "a TIFF file that is truncated"),
        (SyntaxError("broken PNG file (bad header checksum in b'IHDR')"), "a damaged TIFF file: a checksum"),
        (MemoryError(), "a TIFF file that needs more memory to decode than there is"),
    ],
)
def test_what_decoders_say_becomes_words_for_people(error: Exception, words: str) -> None:
    with pytest.raises(ImageError) as caught, in_words("TIFF", "header"):
        raise error
    assert str(caught.value).startswith(words)
    assert caught.value.__cause__ is error
