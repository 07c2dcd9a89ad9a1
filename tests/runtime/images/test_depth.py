"""Pixels of more than 8 bits: black is black and white is white, by the file's own word or the model's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import SCENE, H, W, chunk, encode, packed, png16, ramp, tiff
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.depth import FULL, png_white
from onlygood.runtime.images.reader import LoadedImage, load_image
from onlygood.runtime.images.spec import InputSpec

GRAY = InputSpec(height=H, width=W, channels=1)
RGB = InputSpec(height=H, width=W, channels=3)
DEEP = SCENE.astype(np.uint16) * 257  # the low byte repeats the high one


def read(data: bytes, depth: int = 16, spec: InputSpec = GRAY) -> LoadedImage:
    return load_image(data, spec.model_copy(update={"bit_depth": depth}))


def reason(data: bytes, depth: int = 16, spec: InputSpec = RGB) -> str:
    with pytest.raises(ImageError) as caught:
        read(data, depth, spec)
    return str(caught.value)


def sixteen(values: NDArray[np.uint16], form: str) -> bytes:
    return encode(Image.fromarray(values.astype(np.uint16)), form)


# --- by the model's depth


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(("depth", "top"), [(16, 65535), (14, 16383), (12, 4095), (10, 1023), (8, 255)])
def test_gray_of_any_depth_spans_black_to_white(form: str, depth: int, top: int) -> None:
    loaded = read(sixteen(ramp(top), form), depth)
    np.testing.assert_array_equal(loaded.pixels[0, :, 0], ramp(top)[0] >> (depth - 8))
    assert (loaded.pixels.min(), loaded.pixels.max(), loaded.notes) == (0, 255, ())


@pytest.mark.parametrize("depth", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "png alpha", "png interlaced", "tiff", "tiff deflated", "ppm"])
def test_color_of_any_depth_is_read_like_gray(kind: str, depth: int) -> None:
    """Pillow keeps the high byte of 16-bit color, which is nearly black where the camera has 12 bits."""
    values = (DEEP >> (16 - depth)).astype(np.uint16)
    data = {
        "png": lambda: png16(values),
        "png alpha": lambda: png16(np.dstack([values, values[..., :1]])),
        "png interlaced": lambda: png16(values, interlaced=True),
        "tiff": lambda: tiff(values, photometric=2),
        "tiff deflated": lambda: tiff(values, photometric=2, compress=True, order=">"),
        "ppm": lambda: b"P6 24 16 65535\n" + values.astype(">u2").tobytes(),
    }[kind]()
    np.testing.assert_array_equal(read(data, depth, RGB).pixels, SCENE)


def test_gray_with_alpha_of_twelve_bits() -> None:
    values = np.dstack([DEEP[..., 0] >> 4, DEEP[..., 1] >> 4])
    for data in (png16(values), tiff(values, tags={338: [2]})):
        np.testing.assert_array_equal(read(data, 12).pixels[..., 0], SCENE[..., 0])


def test_twelve_bits_in_a_sixteen_bit_file_are_noted() -> None:
    (note,) = read(sixteen(np.full((H, W), 4095), "PNG")).notes
    assert "12 bits" in note
    assert read(sixteen(np.full((H, W), 4096), "PNG")).notes == ()


def test_values_beyond_the_declared_depth_are_clipped_and_noted() -> None:
    loaded = read(sixteen(np.full((H, W), 4096), "PNG"), 12)
    assert (loaded.pixels == 255).all()
    assert loaded.notes == ("bit depth: values beyond 12 bits were clipped",)


# --- by the file's own word


@pytest.mark.parametrize("depth", [8, 12, 16])
@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [False, True])
def test_packed_tiff_has_its_own_depth(bits: int, depth: int, order: str, compress: bool) -> None:
    top = (1 << bits) - 1
    data = tiff(ramp(top), bits=bits, order=order, compress=compress)
    loaded = read(data, depth)
    np.testing.assert_array_equal(loaded.pixels[0, :, 0], ramp(top)[0] >> (bits - 8))
    said = f"bit depth: white is {top}, as the file itself says"
    assert loaded.notes == (() if bits == depth else (said,))


def test_packed_numbers_by_hand() -> None:
    """0xABC and 0x123 are the bytes AB C1 23; an odd row ends in half a byte of nothing."""
    assert packed(np.array([[0xABC, 0x123], [0xFFF, 0]]), 12) == bytes.fromhex("abc123 fff000")
    assert packed(np.array([[0xABC]]), 12) == bytes.fromhex("abc0")


@pytest.mark.parametrize(
    ("most", "white"), [(4095, 4095), (1023, 1023), (65535, 65535), (4000, 65535), (0, 65535)]
)
def test_largest_sample_of_a_tiff_counts_where_it_names_a_depth(most: int, white: int) -> None:
    """Other numbers are, by the standard, a statistic of this one image."""
    loaded = read(tiff(ramp(white), tags={281: [most]}))
    np.testing.assert_array_equal(loaded.pixels[0, :, 0], ramp(white)[0] >> (white.bit_length() - 8))


def test_the_files_own_word_is_above_the_models() -> None:
    data = tiff(ramp(4095), tags={281: [4095]})
    for depth in (8, 10, 16):
        np.testing.assert_array_equal(read(data, depth).pixels[0, :, 0], ramp(4095)[0] >> 4)


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_png_whose_significant_bits_are_scaled_up_as_the_standard_says(depth: int) -> None:
    values = ramp(4095) << 4 | ramp(4095) >> 8
    data = png16(values, chunk(b"sBIT", b"\x0c"))
    np.testing.assert_array_equal(read(data, depth).pixels[0, :, 0], ramp(4095)[0] >> 4)


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_png_whose_significant_bits_are_left_where_they_are(depth: int) -> None:
    data = png16(ramp(4095), chunk(b"sBIT", b"\x0c"))
    np.testing.assert_array_equal(read(data, depth).pixels[0, :, 0], ramp(4095)[0] >> 4)


def test_color_png_with_significant_bits() -> None:
    data = png16(DEEP >> 4, chunk(b"sBIT", b"\x0c\x0c\x0c"))
    np.testing.assert_array_equal(read(data, 16, RGB).pixels, SCENE)


@settings(max_examples=100, deadline=None)
@given(st.integers(9, 15), st.lists(st.integers(0, 2**15 - 1), min_size=3, max_size=20), st.booleans())
def test_scaled_samples_are_told_from_plain_ones(bits: int, drawn: list[int], repeat: bool) -> None:
    plain = np.array(drawn, np.uint16) & ((1 << bits) - 1)
    plain[0] = 3  # a low value that no scaling leaves
    scaled = plain << (16 - bits)
    if repeat:
        scaled |= plain >> (2 * bits - 16)
    assert png_white(plain, bits) == (1 << bits) - 1
    assert png_white(scaled, bits) == FULL


@pytest.mark.parametrize("most", [255, 1000, 1023, 4095, 65535])
def test_pgm_names_its_white(most: int) -> None:
    letter = ">u2" if most > 255 else "u1"
    values = ramp(most)
    data = b"P5\n# a comment\n24 16 %d\n" % most + values.astype(letter).tobytes()
    pixels = read(data, 16).pixels[0, :, 0].astype(float)
    assert np.abs(pixels - values[0] * (255 / most)).max() <= 1
    assert (pixels[0], pixels[-1]) == (0, 255)


@pytest.mark.parametrize("most", [1, 3, 15, 100])
def test_pgm_of_few_levels(most: int) -> None:
    data = b"P5 24 16 %d " % most + ramp(most).astype(np.uint8).tobytes()
    want = np.floor(ramp(most)[0] * (255 / most) + 0.5)
    np.testing.assert_array_equal(read(data).pixels[0, :, 0], want)


@pytest.mark.parametrize(("depth", "bits"), [(12, 16), (16, 12), (16, 16)])
def test_jpeg_2000_scales_what_it_declares(depth: int, bits: int) -> None:
    """Pillow writes 16 bits; of fewer it would give samples that fill 16 bits again."""
    data = bytearray(encode(Image.fromarray(ramp(65535).copy()), "JPEG2000", no_jp2=True))
    assert data[42] == 15  # bits of a sample, less one
    if bits == 12:
        return  # cannot be made here; the precision's place in the header is what this pins
    pixels = read(bytes(data), depth).pixels[0, :, 0]
    np.testing.assert_array_equal(pixels, np.minimum(ramp(65535)[0] >> (depth - 8), 255))


# --- inverted, signed, 32 bits, floating-point


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [12, 16])
def test_sixteen_bit_tiff_whose_zero_is_white(order: str, depth: int) -> None:
    top = (1 << depth) - 1
    data = tiff(ramp(top), photometric=0, order=order)
    np.testing.assert_array_equal(read(data, depth).pixels[0, :, 0], 255 - (ramp(top)[0] >> (depth - 8)))


def test_eight_bit_tiff_whose_zero_is_white() -> None:
    data = tiff(SCENE[..., 0], photometric=0)
    np.testing.assert_array_equal(read(data).pixels[..., 0], 255 - SCENE[..., 0])


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_other_integers_within_sixteen_bits(kind: type, order: str) -> None:
    data = tiff(ramp(32767).astype(kind), order=order)
    np.testing.assert_array_equal(read(data).pixels[0, :, 0], ramp(32767)[0] >> 8)


@pytest.mark.parametrize(
    ("kind", "value"), [(np.int32, -1), (np.int32, 65536), (np.int16, -1), (np.uint32, 2**31)]
)
def test_integers_beyond_sixteen_bits(kind: type, value: int) -> None:
    words = reason(tiff(np.full((H, W), value, kind)))
    assert words.startswith(f"pixels outside 0 … 65535 (found {value} … {value})")
    assert "8 or 16 bits" in words


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("color", [False, True])
def test_floating_point_from_black_0_to_white_1(kind: type, order: str, compress: bool, color: bool) -> None:
    scene = SCENE if color else SCENE[..., :1]
    data = tiff((scene / 255).astype(kind), order=order, compress=compress, photometric=2 if color else 1)
    loaded = read(data, spec=RGB if color else GRAY)
    np.testing.assert_array_equal(loaded.pixels, scene)
    assert loaded.notes == ("bit depth: floating-point pixels, 0 is black and 1 is white",)


@pytest.mark.parametrize(
    ("value", "words"), [(255.0, "from 255 to 255"), (-0.1, "from -0.1"), (np.nan, "no numbers")]
)
def test_other_floating_point_is_refused(value: float, words: str) -> None:
    said = reason(tiff(np.full((H, W), value, np.float32)))
    assert said.startswith("floating-point pixels")
    assert words in said
    assert "8 or 16 bits" in said
