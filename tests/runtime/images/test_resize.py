"""Size, place and antialiasing of the one resize, and JPEGs shrunk while decoding."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.resize import paste_box, resize
from onlygood.runtime.images.spec import InputSpec

H, W = 16, 24
GRAY = InputSpec(height=H, width=W, channels=1)
SCENE = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


@pytest.mark.parametrize("policy", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 24), (100, 24), (16, 300), (1, 500), (500, 1), (7, 5)])
def test_resize_gives_the_spec_and_keeps_a_plain_color(
    policy: str, channels: int, size: tuple[int, int]
) -> None:
    spec = InputSpec(height=H, width=W, channels=channels, resize=policy)
    pixels = resize(np.full((*size, 3), 77, np.uint8), spec)
    assert pixels.shape == (H, W, channels)
    assert (pixels == 77).all()


def test_resize_is_antialiased() -> None:
    """A checkerboard of single pixels, shrunk, is grey; without antialiasing it would be black and white."""
    board = (np.indices((320, 480)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(resize(board, GRAY).astype(int) - 127.5).max() < 4


def test_arrays_of_every_shape_and_refusal_of_the_rest() -> None:
    for array in (SCENE[..., 0], SCENE[..., :1], np.dstack([SCENE, SCENE[..., :1]])):
        assert resize(array, GRAY).shape == (H, W, 1)
    for bad in (SCENE.astype(np.float32), SCENE[..., :2], SCENE[:0], SCENE[None]):
        with pytest.raises(ImageError, match="must be uint8"):
            resize(bad, GRAY)


def test_pad_centers_between_the_borders_median() -> None:
    image = np.full((16, 12, 1), 50, np.uint8)
    image[8:, :] = 60  # the border is dark above and light below; the left and right thirds are filled
    image[0] = 60
    padded = resize(image, GRAY.model_copy(update={"resize": "pad"}))
    np.testing.assert_array_equal(padded[:, 6:18], image)
    assert (padded[:, :6] == 60).all()
    assert (padded[:, 18:] == 60).all()


def test_crop_takes_the_center() -> None:
    image = np.zeros((16, 32), np.uint8)
    image[:, 4:28] = 200
    assert (resize(image, GRAY.model_copy(update={"resize": "crop"})) == 200).all()


@pytest.mark.parametrize(
    ("policy", "box"),
    [("stretch", (0, 0, 96, 32)), ("pad", (0, -16, 96, 48)), ("crop", (24, 0, 72, 32))],
)
def test_paste_box_by_hand(policy: str, box: tuple[float, ...]) -> None:
    assert paste_box(96, 32, InputSpec(height=16, width=24, channels=1, resize=policy)) == pytest.approx(box)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 250), st.integers(20, 250), st.sampled_from(["stretch", "pad", "crop"]))
def test_paste_box_says_where_each_canvas_pixel_comes_from(width: int, height: int, policy: str) -> None:
    """Images whose grey level is the coordinate: resizing samples them where the box says."""
    spec = InputSpec(height=64, width=48, channels=1, resize=policy)
    left, upper, right, lower = paste_box(width, height, spec)
    x = left + (np.arange(48) + 0.5) * (right - left) / 48
    y = upper + (np.arange(64) + 0.5) * (lower - upper) / 64
    ramp_x = np.broadcast_to(np.arange(width, dtype=np.uint8), (height, width))
    ramp_y = np.broadcast_to(np.arange(height, dtype=np.uint8)[:, None], (height, width))
    reach_x, reach_y = 1 + (right - left) / 48, 1 + (lower - upper) / 64  # of the antialiasing filter
    inside_x = (x > max(0, left) + reach_x) & (x < min(width, right) - reach_x)
    inside_y = (y > max(0, upper) + reach_y) & (y < min(height, lower) - reach_y)
    inside = np.ix_(inside_y, inside_x)
    along = resize(ramp_x, spec)[..., 0][inside] + 0.5 - x[inside_x]
    down = resize(ramp_y, spec)[..., 0][inside] + 0.5 - y[inside_y][:, None]
    assert np.abs(along).max(initial=0) < 0.75  # of an original pixel; rounding to grey levels takes 0.5
    assert np.abs(down).max(initial=0) < 0.75


# --- JPEG shrunk while decoding


def jpeg(pixels: NDArray[np.uint8], orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth shapes and sensor noise."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("policy", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_jpeg_is_close_to_the_full_decode(policy: str, orientation: int) -> None:
    data = jpeg(photograph(480, 640), orientation)
    spec = InputSpec(height=64, width=64, channels=3, resize=policy)
    drafted = load_image(data, spec.model_copy(update={"jpeg": "reduced"}))
    full = load_image(data, spec)
    assert (drafted.width, drafted.height) == (full.width, full.height)
    assert not np.array_equal(drafted.pixels, full.pixels), "nothing was drafted"
    difference = np.abs(drafted.pixels.astype(int) - full.pixels)
    assert difference.max() <= 2
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [(480, 642), (640, 479), (120, 120)])
def test_jpeg_of_odd_or_modest_size_is_decoded_in_full(size: tuple[int, int]) -> None:
    data = jpeg(photograph(*size))
    spec = InputSpec(height=230, width=230, channels=3, jpeg="reduced")
    np.testing.assert_array_equal(load_image(data, spec).pixels, resize(Image.open(io.BytesIO(data)), spec))
