"""Regions of heatmaps in the pixels of the file: through crop, padding, stretching and EXIF orientation."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from onlygood.runtime.images.places import Placed, Region, stored
from onlygood.runtime.images.places import regions as placed_regions
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.sources import _TRANSPOSITIONS
from onlygood.runtime.images.spec import InputSpec


def spec(resize: Any, height: int = 8, width: int = 8) -> InputSpec:
    return InputSpec(height=height, width=width, channels=1, resize=resize)


def regions(
    heatmap: NDArray[np.float32], threshold: float, by: InputSpec, size: tuple[int, int], turn: Any = None
) -> list[Region]:
    return placed_regions(Placed.on_canvas(heatmap, by, *size), threshold, size, turn=turn)


def fine(height: int = 8, width: int = 8, **hot: tuple[int, int]) -> NDArray[np.float32]:
    """A map as fine as the canvas, hot at the (row, column) given."""
    heat = np.zeros((height, width), np.float32)
    for at in hot.values():
        heat[at] = 1
    return heat


def test_stretched() -> None:
    (region,) = regions(fine(a=(2, 1), b=(2, 2)), 0.5, spec("stretch"), (80, 24))
    assert region.box == region.stored_box == (10, 6, 30, 9)  # a pixel of the canvas is 10 x 3 of the file
    assert (region.area, region.peak) == (60, 1.0)


def test_cropped() -> None:
    (region,) = regions(fine(a=(0, 0)), 0.5, spec("crop"), (32, 16))
    assert (region.box, region.area) == ((8, 0, 10, 2), 4)  # 8 px are cut off on each side


def test_padding_is_no_part_of_the_image() -> None:
    heat = np.ones((8, 8), np.float32)
    (region,) = regions(heat, 0.5, spec("pad"), (32, 16))
    assert (region.box, region.area) == ((0, 0, 32, 16), 512)
    assert regions(fine(a=(0, 3)), 0.5, spec("pad"), (32, 16)) == []


def test_parts_of_pixels_are_counted_whole_but_never_beyond_the_image() -> None:
    (region,) = regions(fine(a=(7, 7)), 0.5, spec("stretch"), (5, 5))
    assert (region.box, region.area) == ((4, 4, 5, 5), 1)


def test_the_hottest_comes_first() -> None:
    heat = fine(a=(0, 0), b=(5, 5))
    heat[5, 5] = 2
    assert [region.peak for region in regions(heat, 0.5, spec("stretch"), (8, 8))] == [2, 1]


@pytest.mark.parametrize("turn", [None, *Transpose])
def test_boxes_are_turned_back_as_pillow_turns_images(turn: Transpose | None) -> None:
    pixels = np.zeros((5, 9), np.uint8)
    pixels[1:3, 2:7] = 255
    image = Image.fromarray(pixels)
    upright = image if turn is None else image.transpose(turn)
    box = upright.getbbox()
    assert box is not None
    assert stored(box, *upright.size, turn) == (2, 1, 7, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_through_the_reader(format: str, orientation: int) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[0:4, 8:16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, exif=exif)
    image = load_image(file.getvalue(), spec("stretch", 8, 8), preview=64)
    (region,) = regions(
        image.pixels[..., 0].astype(np.float32), 128, spec("stretch"), (image.width, image.height)
    )
    (turned,) = regions(
        image.pixels[..., 0].astype(np.float32), 128, spec("stretch"), (image.width, image.height), image.turn
    )
    assert turned.stored_box == (8, 0, 16, 4)
    assert image.turn == _TRANSPOSITIONS.get(orientation)
    assert image.preview is not None
    assert image.preview.shape == (image.height, image.width, 3)
    left, upper, right, lower = region.box
    assert image.preview[upper:lower, left:right].mean() > 200


def test_a_preview_is_small_and_keeps_proportions() -> None:
    file = io.BytesIO()
    Image.new("RGB", (400, 100), (10, 20, 30)).save(file, "PNG")
    preview = load_image(file.getvalue(), spec("stretch"), preview=100).preview
    assert preview is not None
    assert preview.shape == (25, 100, 3)
    assert (preview == (10, 20, 30)).all()
    assert load_image(file.getvalue(), spec("stretch")).preview is None
