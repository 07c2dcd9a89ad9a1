"""What masks mark, however they are drawn: each expected pixel is written out by hand."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from onlygood.anomaly.data.masks import Mask, read_mask
from onlygood.runtime.errors import ImageError

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 90, 0), (0, 0, 0), (255, 255, 255)


def marked(path) -> list[bool]:
    return read_mask(path).defect[0].tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 127, 128, 255], [False, True, True, True]),  # several defect types by gray level
        ([0, 60, 0, 255], [False, True, False, True]),
        ([0, 1, 0, 1], [False, True, False, True]),
        ([0, 1, 2, 3], [False, True, True, True]),  # class numbers
        ([0, 0, 1, 255], [False, False, True, True]),  # 255 is often "ignore": no good surface either way
        ([0, 0, 0, 0], [False] * 4),
        ([255, 255, 255, 255], [False] * 4),  # one value tells nothing apart
        ([7, 7, 7, 2], [False, False, False, True]),  # no black: the most frequent is the background
    ],
)
def test_gray_levels(tmp_path, values, expected):
    for mode, dtype in (("L", np.uint8), ("I;16", np.uint16), ("I", np.int32), ("F", np.float32)):
        path = tmp_path / ("m.tif" if mode in ("I", "F") else "m.png")
        Image.fromarray(np.array([values], dtype)).save(path)
        assert marked(path) == expected, mode


def test_masks_of_shares(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1, np.nan]], np.float32)).save(tmp_path / "m.tif")
    assert marked(tmp_path / "m.tif") == [False, True, True, False]


def test_deep_levels_are_not_cut_to_eight_bits(tmp_path):
    Image.fromarray(np.array([[0, 1, 256, 65535]], np.uint16)).save(tmp_path / "m.png")
    assert marked(tmp_path / "m.png") == [False, True, True, True]


@pytest.mark.parametrize("name", ["m.png", "m.bmp", "m.tif", "m.gif", "m.ppm", "m.webp"])
def test_colors_in_every_format(tmp_path, name):
    pixels = np.array([[BLACK, RED, GREEN, BLACK]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    assert marked(tmp_path / name) == [False, True, True, False]


def test_white_background_without_black(tmp_path):
    Image.fromarray(np.array([[WHITE, WHITE, RED, GREEN]], np.uint8)).save(tmp_path / "m.png")
    assert marked(tmp_path / "m.png") == [False, False, True, True]


@pytest.mark.parametrize(
    "palette",
    [
        [*BLACK, 128, 0, 0, 0, 128, 0, 224, 224, 192],  # as PASCAL VOC has it, with a dark class
        [*WHITE, *BLACK, *RED, *RED],  # black is not number 0, but still the background
        [0] * 12,  # a palette that says nothing: the numbers do
    ],
)
def test_palettes(tmp_path, palette):
    image = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8), "P")
    image.putpalette(palette)
    image.save(tmp_path / "m.png")
    background = 1 if palette[:3] == [*WHITE] else 0
    assert marked(tmp_path / "m.png") == [number != background for number in range(4)]


@pytest.mark.parametrize(
    "colors",
    [
        [(*RED, 0), (*RED, 0), (*RED, 255), (*GREEN, 255)],  # colour hides under what is transparent
        [(*BLACK, 0), (*BLACK, 0), (*BLACK, 255), (*BLACK, 255)],  # alpha alone
        [(*WHITE, 0), (*BLACK, 255), (*RED, 255), (*WHITE, 9)],  # black and transparent are both background
        [(*BLACK, 255), (*BLACK, 255), (*RED, 255), (*GREEN, 255)],  # alpha says nothing
    ],
)
def test_alpha(tmp_path, colors):
    Image.fromarray(np.array([colors], np.uint8)).save(tmp_path / "m.png")
    assert marked(tmp_path / "m.png") == [False, False, True, True]


def test_alpha_of_gray_and_transparent_levels(tmp_path):
    Image.fromarray(np.array([[(0, 0), (0, 0), (0, 255)]], np.uint8)).save(tmp_path / "a.png")
    assert marked(tmp_path / "a.png") == [False, False, True]
    image = Image.fromarray(np.array([[255, 255, 3]], np.uint8))
    image.save(tmp_path / "b.png", transparency=255)
    assert marked(tmp_path / "b.png") == [False, False, True]


def square(level: int = 255) -> np.ndarray:
    pixels = np.zeros((64, 64), np.uint8)
    pixels[20:37, 13:42] = level
    return pixels


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_noise_of_jpeg_is_no_defect(tmp_path, quality):
    pixels = square()
    pixels[50:58, 50:58] = 110  # a darker class beside it
    Image.fromarray(pixels).save(tmp_path / "m.jpg", quality=quality)
    wrong = read_mask(tmp_path / "m.jpg").defect != (pixels > 0)
    assert wrong.mean() < 0.02
    assert not wrong[:10].any()
    resaved = tmp_path / "m.png"
    with Image.open(tmp_path / "m.jpg") as image:
        image.save(resaved)
    assert (read_mask(resaved).defect == read_mask(tmp_path / "m.jpg").defect).all()


def test_smoothed_edges_grow_by_a_pixel_at_most(tmp_path):
    large = np.kron(square(), np.ones((5, 5), np.uint8))
    small = Image.fromarray(large).resize((107, 107), Image.Resampling.BICUBIC)
    small.save(tmp_path / "m.png")
    exact = np.asarray(Image.fromarray(large).resize((107, 107), Image.Resampling.NEAREST)) > 0
    grown = np.asarray(read_mask(tmp_path / "m.png").defect)
    assert (grown & exact).sum() == exact.sum()
    assert 0 < grown.sum() - exact.sum() < 4 * np.sqrt(exact.sum())


@given(arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 40, 90, 255])), st.integers(0, 255))
def test_recoloring_the_classes_changes_nothing(numbers, shift):
    """One-to-one, with black kept: what is marked depends on what is background alone."""
    table = np.arange(256, dtype=np.uint8)
    table[1:] = np.roll(table[1:], shift)
    masks = []
    for pixels in (numbers, table[numbers]):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        file.seek(0)
        masks.append(read_mask(file).defect)
    if (numbers == 0).any():
        assert (masks[0] == masks[1]).all()
        assert (masks[0] == (numbers != 0)).all()


def test_what_covers_most_of_an_image_is_questioned(tmp_path):
    Image.fromarray(255 - square()).save(tmp_path / "m.png")
    share = 1 - 17 * 29 / 64**2
    assert read_mask(tmp_path / "m.png").question.startswith(
        f"it marks {share:.0%} of the image: is it inverted"
    )
    assert read_mask(tmp_path / "m.png").defect.mean() == share
    Image.fromarray(square()).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").question == ""


def test_a_photograph_is_no_mask(tmp_path):
    rng = np.random.default_rng(0)
    photo = (130 + 40 * np.sin(np.arange(64) / 5) + rng.normal(0, 9, (64, 64))).astype(np.uint8)
    photo[:30] = 0  # a black surrounding, as many have
    for name in ("m.png", "m.jpg"):
        Image.fromarray(photo).save(tmp_path / name)
        assert read_mask(tmp_path / name).photo
        assert "is it a mask?" in read_mask(tmp_path / name).question
    for quality in (10, 50, 90):
        Image.fromarray(square()).save(tmp_path / "m.jpg", quality=quality)
        assert not read_mask(tmp_path / "m.jpg").photo


def test_orientation_is_obeyed_as_in_images(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turn by 90° clockwise
    Image.fromarray(np.array([[0, 0, 255]], np.uint8)).save(tmp_path / "m.png", exif=exif)
    assert read_mask(tmp_path / "m.png").defect.tolist() == [[False], [False], [True]]


@pytest.mark.parametrize(
    "content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"%!PS-Adobe-3.0 EPSF\n"]
)
def test_what_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"mask .*m\.png: \w"):
        read_mask(tmp_path / "m.png")


def test_one_marked_half_is_not_most():
    assert Mask(np.array([[True, False]]), photo=False).question == ""
