"""TIFFs that Pillow has no mode for, in every way of storing them; and what is said of the rest."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import SCENE, H, W, encode, tiff, tiff_of_tags
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import LoadedImage, load_image
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.images.tiff import MAX_PAGES, read_tags

GRAY = InputSpec(height=H, width=W, channels=1)
RGB = InputSpec(height=H, width=W, channels=3)
DEEP = SCENE.astype(np.uint16) * 257


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(data, RGB)
    return str(caught.value)


@settings(max_examples=150, deadline=None)
@given(
    order=st.sampled_from("<>"),
    compress=st.booleans(),
    planar=st.booleans(),
    tile=st.sampled_from([None, 16]),
    big=st.booleans(),
    alpha=st.booleans(),
    bits=st.sampled_from([None, 10, 12]),
)
def test_color_however_it_is_stored(
    *, order: str, compress: bool, planar: bool, tile: int | None, big: bool, alpha: bool, bits: int | None
) -> None:
    values = DEEP if bits is None else DEEP >> (16 - bits)
    values = np.dstack([values, values[..., 0]]) if alpha else values
    data = tiff(
        values,
        order=order,
        bits=bits,
        photometric=2,
        compress=compress,
        planar=planar,
        tile=tile,
        big=big,
        tags={338: [2]} if alpha else {},
    )
    np.testing.assert_array_equal(load_image(data, RGB).pixels, SCENE)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_differences_of_neighbors_are_summed_up(tile: int | None, order: str) -> None:
    """Predictor 2: each pixel is stored as the difference to the one before, anew in every tile."""
    step = tile or W
    stored = DEEP.copy()
    for start in range(0, W, step):
        stored[:, start + 1 : start + step] -= DEEP[:, start : min(start + step, W) - 1]
    data = tiff(stored, photometric=2, compress=True, order=order, tile=tile, tags={317: [2]})
    np.testing.assert_array_equal(load_image(data, RGB).pixels, SCENE)


def test_floating_point_predictor_is_undone() -> None:
    """Predictor 3: a row's bytes by significance, each stored as the difference to the last pixel's."""
    values = (SCENE / 255).astype(">f4")
    planes = values.view(np.uint8).reshape(H, W * 3, 4).transpose(0, 2, 1).reshape(H, -1, 3)
    stored = np.diff(planes, axis=1, prepend=np.zeros((H, 1, 3), np.uint8)).astype(np.uint8)
    strips = zlib.compress(stored.tobytes())
    tags = {256: [W], 257: [H], 258: [32] * 3, 259: [8], 262: [2], 273: [8], 277: [3], 278: [H]}
    data = tiff_of_tags(tags | {279: [len(strips)], 317: [3], 339: [3] * 3}, strips)
    np.testing.assert_array_equal(load_image(data, RGB).pixels, SCENE)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "raw"])
def test_what_libtiff_compressed(compression: str) -> None:
    image = Image.fromarray(DEEP[..., 0])
    pixels = load_image(encode(image, "TIFF", compression=compression), GRAY).pixels
    np.testing.assert_array_equal(pixels[..., 0], SCENE[..., 0])


def test_premultiplied_alpha_is_divided_out() -> None:
    """A pixel of 100 under an alpha of a half is stored as 50; its color is 100."""
    half = np.full((H, W, 2), (50, 128), np.uint8)
    gray = load_image(tiff(half, tags={338: [1]}), GRAY).pixels
    assert np.abs(gray.astype(int) - 100).max() <= 1
    color = np.full((H, W, 4), (50, 25, 10, 128), np.uint8)
    pixels = load_image(tiff(color, photometric=2, tags={338: [1]}), RGB).pixels
    assert np.abs(pixels.astype(int) - (100, 50, 20)).max() <= 1
    for spec, values, want in ((GRAY, half, [100]), (RGB, color, [100, 50, 20])):
        deep = tiff(values.astype(np.uint16) * 257, photometric=spec.channels // 2 + 1, tags={338: [1]})
        assert np.abs(load_image(deep, spec).pixels.astype(int) - want).max() <= 1


def test_lab_becomes_color_and_gray() -> None:
    """L* of 53.6 is the grey 128; a* and b* of 0 are no color."""
    lab = Image.merge("LAB", [Image.new("L", (W, H), level) for level in (137, 128, 128)])
    for spec in (RGB, GRAY):
        pixels = load_image(encode(lab, "TIFF"), spec).pixels
        assert np.abs(pixels.astype(int) - 128).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_pixels(orientation: int) -> None:
    stored = np.zeros((16, 32), np.uint16)
    stored[:8, :16] = 65535
    spec = InputSpec(height=16, width=16, channels=1)
    deep = load_image(tiff(stored, tags={274: [orientation]}), spec)
    flat = load_image(tiff((stored >> 8).astype(np.uint8), tags={274: [orientation]}), spec)
    np.testing.assert_array_equal(deep.pixels, flat.pixels)
    assert (deep.width, deep.height) == (flat.width, flat.height)
    assert deep.width == (16 if orientation >= 5 else 32)


def test_thumbnail_flag_and_extra_channels_are_noted() -> None:
    (note,) = load_image(tiff(SCENE, photometric=2, tags={254: [1]}), RGB).notes
    assert note == "thumbnail: the file calls this page a smaller version of another"
    (note,) = load_image(tiff(DEEP, tags={338: [0, 0]}), RGB).notes
    assert note == "channels: the first 1 of 3 were read"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            tiff(np.zeros((H, W, 2), np.float32), photometric=5),
            "2 channels with 32 bits (floating-point), color kind 5",
        ),
        (tiff(np.zeros((H, W), np.uint64)), "1 channel with 64 bits (integer)"),
        (tiff(DEEP, photometric=8), "3 channels with 16 bits (integer), color kind 8"),
        (tiff(DEEP, photometric=2, tags={259: [34712]}), "compression 34712"),
        (tiff(SCENE[..., 0], tags={262: [32803]}), "color kind 32803"),
    ],
)
def test_what_is_not_read_is_described(data: bytes, words: str) -> None:
    said = reason(data)
    assert said.startswith("a TIFF file of ")
    assert words in said
    assert "save it as such" in said


def test_camera_raw_is_named() -> None:
    assert reason(tiff(SCENE, photometric=2, tags={50706: [1], 254: [1]})).startswith(
        "a camera raw file (DNG)"
    )
    assert reason(b"II*\0\x10\0\0\0CR\2\0" + bytes(40)).startswith("a camera raw file, which is not read")


# --- limits


def pages(count: int, loop: bool = False) -> bytes:
    """A TIFF whose one picture is followed by pages of a single tag."""
    first = bytearray(tiff(SCENE, photometric=2))
    table = struct.unpack_from("<I", first, 4)[0]
    end = table + 2 + 12 * struct.unpack_from("<H", first, table)[0]
    struct.pack_into("<I", first, end, len(first))
    rest = [
        struct.pack("<HHHII", 1, 254, 4, 1, 0) + struct.pack("<I", len(first) + 18 * (page + 1))
        for page in range(count - 1)
    ]
    last = len(first) + 18 * (count // 2) if loop else 0
    rest[-1] = rest[-1][:-4] + struct.pack("<I", last)
    return bytes(first) + b"".join(rest)


@pytest.mark.parametrize(("count", "said"), [(2, "2"), (1000, "1000"), (60_000, "more than 1000")])
def test_pages_are_counted_up_to_a_limit(count: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_image(pages(count), RGB)
    np.testing.assert_array_equal(loaded.pixels, SCENE)
    assert loaded.notes == (f"frames: page 1 of {said}",)


def test_pages_beyond_the_limit_are_not_looked_at() -> None:
    """Not even read: the walk touches each page's table once, and 1,000 of 60,000 pages."""

    class Counting(io.BytesIO):
        seeks = 0

        def seek(self, *place: int) -> int:
            self.seeks += 1
            return super().seek(*place)

    file = Counting(pages(60_000))
    assert read_tags(file).pages == MAX_PAGES + 1
    assert file.seeks < 3 * MAX_PAGES


def test_pages_in_a_ring_end() -> None:
    assert load_image(pages(10, loop=True), RGB).notes == ("frames: page 1 of 10",)


def test_more_strips_than_any_image_has() -> None:
    tags = {256: [W], 257: [H], 258: [8], 259: [1], 262: [1], 277: [1], 278: [1]}
    data = tiff_of_tags(tags | {273: [8] * 131_073, 279: [W] * 131_073}, SCENE.tobytes())
    assert "131073 strips or tiles" in reason(data)


def same(loaded: LoadedImage, values: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(loaded.pixels, values)


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("compress", [False, True])
def test_deep_pixels_that_are_cut_short(cut: float, compress: bool) -> None:
    """The table of tags comes first here, so that only pixels are missing."""
    strips = DEEP.tobytes()
    strips = zlib.compress(strips) if compress else strips
    tags = {256: [W], 257: [H], 258: [16] * 3, 259: [8 if compress else 1], 262: [2], 277: [3], 278: [H]}
    data = tiff_of_tags(tags | {273: [8], 279: [len(strips)]}, strips)
    table = struct.unpack_from("<I", data, 4)[0]
    start = 8 + len(data) - table
    moved = tiff_of_tags(tags | {273: [start], 279: [len(strips)]}, b"")
    assert len(moved) == start
    same(load_image(moved + strips, RGB), SCENE)
    assert "TIFF file" in reason((moved + strips)[: start + int(len(strips) * cut)])
