"""Rows of large images are those of the image decoded whole, whatever kind of TIFF it is."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import tiff
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import ReadOptions, load_image
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.images.windows import open_large

HEIGHT, WIDTH = 50, 40
KINDS = {
    "raw": ("RGB", {}),
    "one strip": ("RGB", {"tiffinfo": {278: HEIGHT}}),
    "lzw": ("RGB", {"compression": "tiff_lzw", "tiffinfo": {278: 7}}),
    "deflate": ("L", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 16}}),
    "packbits": ("RGBA", {"compression": "packbits", "tiffinfo": {278: 3}}),
    "jpeg": ("RGB", {"compression": "jpeg", "quality": 90, "tiffinfo": {278: 16}}),
    "palette": ("P", {"compression": "tiff_lzw", "tiffinfo": {278: 7}}),
    "bits": ("1", {"tiffinfo": {278: 7}}),
    "deep": ("I;16", {"compression": "tiff_lzw", "tiffinfo": {278: 7}}),
    "deep raw": ("I;16", {}),
    "CMYK": ("CMYK", {}),
}


def picture(mode: str) -> Image.Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    if mode == "I;16":
        return Image.fromarray((x * 1500 + y * 7).astype(np.uint16))
    colors = np.stack([x * 6, y * 5, (x + y) * 2], axis=2).astype(np.uint8)
    return Image.fromarray(colors).convert(mode)


def whole(path: Path, spec: InputSpec) -> np.ndarray:
    return load_image(path, spec).pixels


def spec(width: int = WIDTH, height: int = HEIGHT) -> InputSpec:
    return InputSpec(height=height, width=width, channels=3)


def rows(path: Path, start: int, stop: int, options: ReadOptions | None = None) -> np.ndarray:
    with open_large(path, spec(), options or ReadOptions()) as large:
        assert (large.width, large.height) == (WIDTH, HEIGHT)
        image = large.rows(start, stop)
    assert image.size == (WIDTH, stop - start)
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("span", [(0, HEIGHT), (0, 1), (13, 29), (HEIGHT - 1, HEIGHT)])
def test_rows_are_those_of_the_whole(tmp_path: Path, kind: str, span: tuple[int, int]) -> None:
    mode, options = KINDS[kind]
    path = tmp_path / "x.tif"
    picture(mode).save(path, **options)
    difference = np.abs(rows(path, *span).astype(int) - whole(path, spec())[slice(*span)])
    assert difference.max() == 0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("tiled", [False, True])
def test_other_layouts(tmp_path: Path, order: str, planar: int, tiled: bool) -> None:
    pixels = np.asarray(picture("RGB"))
    for compress in (False, True):
        data = tiff(
            pixels,
            photometric=2,
            order=order,
            planar=planar == 2,
            tile=16 if tiled else None,
            compress=compress,
        )
        path = tmp_path / "x.tif"
        path.write_bytes(data)
        assert (rows(path, 11, 37) == pixels[11:37]).all()


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_other_formats_are_decoded_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    picture("RGB").save(path)
    assert (rows(path, 11, 37) == np.asarray(picture("RGB"))[11:37]).all()


def test_the_limit_of_pixels_is_for_a_part(tmp_path: Path) -> None:
    path, few = tmp_path / "x.tif", ReadOptions(max_pixels=WIDTH * 20)
    for kind, fits in (("lzw", True), ("raw", True), ("one strip", True)):
        mode, options = KINDS[kind]
        picture(mode).save(path, **options)
        assert rows(path, 20, 25, few).shape == (5, WIDTH, 3), (kind, fits)
    picture("RGB").save(path, compression="tiff_lzw", tiffinfo={278: HEIGHT})
    with pytest.raises(ImageError, match="lie in one piece"):
        rows(path, 20, 25, few)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["lzw", "raw", "jpeg", "deep"]), st.data())
def test_damaged_files_are_errors_in_words(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    mode, options = KINDS[kind]
    file = io.BytesIO()
    picture(mode).save(file, "TIFF", **options)
    broken = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "x.tif"
    path.write_bytes(broken[: data.draw(st.integers(8, len(broken)))])
    try:
        with open_large(path, spec(), ReadOptions(max_pixels=10**6)) as large:
            large.rows(min(13, large.height - 1), min(29, large.height))
    except ImageError as error:
        assert str(error)
