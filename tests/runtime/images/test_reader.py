"""The reader: every kind of good and bad file, made here, gets the pixels or the reason it should."""

import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import SCENE, H, W, chunk, encode, png16, seeds
from PIL import Image, ImageFile

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import LoadedImage, ReadOptions, load_image, read_header
from onlygood.runtime.images.spec import InputSpec

RGB = InputSpec(height=H, width=W, channels=3)
GRAY = InputSpec(height=H, width=W, channels=1)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG header that declares any size, without the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b""))


def reason(data: bytes | Path, spec: InputSpec = RGB, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(data, spec, ReadOptions(**options))
    return str(caught.value)


# --- what is accepted


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_their_own_pixels(form: str) -> None:
    loaded = load_image(encode(SCENE, form, **({"lossless": True} if form == "WEBP" else {})), RGB)
    np.testing.assert_array_equal(loaded.pixels, SCENE)
    assert (loaded.width, loaded.height, loaded.notes) == (W, H, ())


def test_jpeg_of_a_plain_color_keeps_it() -> None:
    pixels = load_image(encode(np.full((H, W, 3), (200, 90, 40), np.uint8), "JPEG", quality=95), RGB).pixels
    assert np.abs(pixels.astype(int) - (200, 90, 40)).max() <= 2


def test_path_text_and_bytes_are_read_alike(tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(encode(SCENE))
    for source in (file, str(file), file.read_bytes()):
        np.testing.assert_array_equal(load_image(source, RGB).pixels, SCENE)


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9\n.png")
    file.write_bytes(encode(SCENE))
    np.testing.assert_array_equal(load_image(file, RGB).pixels, SCENE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
@pytest.mark.parametrize("spec", [RGB, GRAY])
def test_every_mode_equals_its_opaque_conversion(mode: str, spec: InputSpec) -> None:
    image = Image.fromarray(SCENE).convert(mode)
    want = image.convert("L" if spec.channels == 1 else "RGB")
    loaded = load_image(encode(image, "TIFF" if mode == "CMYK" else "PNG"), spec)
    np.testing.assert_array_equal(loaded.pixels, np.asarray(want).reshape(loaded.pixels.shape))


def test_cmyk_jpeg() -> None:
    ink = Image.new("CMYK", (W, H), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    pixels = load_image(encode(ink, "JPEG", quality=95), RGB).pixels
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 3


def test_transparent_pixels_keep_their_color() -> None:
    rgba = np.dstack([SCENE, np.zeros((H, W), np.uint8)])
    np.testing.assert_array_equal(load_image(encode(rgba), RGB).pixels, SCENE)


def test_palette_with_transparency_does_not_warn() -> None:
    palette = Image.fromarray(SCENE).convert("P")
    data = encode(palette, transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_image(data, RGB)
    np.testing.assert_array_equal(loaded.pixels, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    """The stored picture is bright in its top left quarter; EXIF says where that corner belongs."""
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encode(stored, form, exif=exif), InputSpec(height=16, width=16, channels=1))
    gray = loaded.pixels[..., 0]
    quarters = {"tl": gray[:8, :8], "tr": gray[:8, 8:], "br": gray[8:, 8:], "bl": gray[8:, :8]}
    brightest = max(quarters, key=lambda name: float(quarters[name].mean()))
    assert brightest == ["tl", "tr", "br", "bl", "tl", "tr", "br", "bl"][orientation - 1]
    assert (loaded.width, loaded.height) == ((16, 32) if orientation >= 5 else (32, 16))


def test_damaged_exif_does_not_spoil_the_pixels() -> None:
    data = encode(SCENE, "WEBP", lossless=True, exif=b"Exif\0\0" + b"\xff" * 40)
    np.testing.assert_array_equal(load_image(data, RGB).pixels, SCENE)


@pytest.mark.parametrize("form", ["TIFF", "WEBP"])
def test_first_of_several_pages(form: str) -> None:
    pages = [Image.fromarray(np.full((H, W, 3), level, np.uint8)) for level in (10, 200, 90)]
    options = {"lossless": True} if form == "WEBP" else {}
    loaded = load_image(encode(pages[0], form, save_all=True, append_images=pages[1:], **options), RGB)
    assert (loaded.pixels == 10).all()
    assert loaded.notes == ("frames: page 1 of 3",)


# --- what is refused

JPEG = encode(np.tile(SCENE, (4, 4, 1)), "JPEG")
PNG = encode(SCENE)
TRUNCATED = [JPEG[: len(JPEG) // 2], JPEG[: len(JPEG) * 99 // 100], PNG[: len(PNG) // 2]]


def test_empty_and_text() -> None:
    assert reason(b"") == "file is empty"
    assert reason(b"this is not an image\n").startswith("text, no picture; read are JPEG, PNG, ")


def test_formats_off_the_list() -> None:
    assert reason(encode(SCENE, "ICO")).startswith("an icon (ICO), which is not read; save it as PNG")
    for form in ("TGA", "PCX", "SGI"):
        assert reason(encode(SCENE, form)).startswith("not a picture of a known kind; read are JPEG")


@pytest.mark.parametrize("data", TRUNCATED, ids=["jpeg 50 %", "jpeg 99 %", "png 50 %"])
def test_truncated(data: bytes) -> None:
    assert reason(data) in ("a JPEG file that is truncated", "a PNG file that is truncated")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("form", ["BMP", "TIFF", "WEBP"])
def test_truncated_otherwise(form: str) -> None:
    data = encode(SCENE, form)
    assert reason(data[: len(data) // 2])


def test_bad_checksum_of_header_or_pixels() -> None:
    """Pillow alone would show a PNG whose pixel data do not match their CRC."""
    end_of_pixels = PNG.index(b"IEND") - 5
    for at in (PNG.index(b"IHDR") + 7, end_of_pixels):
        damaged = PNG[:at] + bytes([PNG[at] ^ 255]) + PNG[at + 1 :]
        assert "bad header checksum" in reason(damaged)


def test_corrupt_entropy_data_of_a_jpeg_is_scored() -> None:
    at = len(JPEG) * 2 // 3
    corrupt = JPEG[:at] + bytes([JPEG[at] ^ 0x55]) + JPEG[at + 1 :]
    assert not np.array_equal(load_image(corrupt, RGB).pixels, load_image(JPEG, RGB).pixels)


@pytest.mark.parametrize("side", [12_000, 30_000, 60_000])
def test_bomb_is_refused_on_its_header(side: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            reason(png_of_size(side, side)) == f"{side} x {side} pixels are more than the limit of 100000000"
        )


def test_pixel_limit_is_ours_to_the_pixel() -> None:
    assert load_image(PNG, RGB, ReadOptions(max_pixels=H * W)).width == W
    assert "more than the limit" in reason(PNG, max_pixels=H * W - 1)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_pillows_own_limit_neither_warns_nor_refuses(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(SCENE, form)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(load_image(data, RGB).pixels, SCENE)


def test_tile_larger_than_its_image_counts() -> None:
    tags = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: 30_000, 323: 30_000, 324: 200, 325: 20}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    assert "30000 x 30000" in reason(tiff + bytes(400))


def test_missing_file_folder_pipe_and_name_with_nul(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "none.png") == "no such file or directory"
    assert reason(tmp_path) == "is a directory"
    assert reason(tmp_path / "pipe.png") == "not a regular file"
    assert "null" in reason(tmp_path / "a\0b.png")


def test_forbidden_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "a.png")  # root may read everything: feign it

    monkeypatch.setattr(Path, "open", refuse)
    assert reason(tmp_path / "a.png") == "permission denied"


def test_file_larger_than_any_image(tmp_path: Path) -> None:
    with (tmp_path / "video.png").open("wb") as file:
        file.write(PNG)
        file.truncate(2**26 + 8 * H * W + 1)  # a hole: takes no space
    assert "larger than any image" in reason(tmp_path / "video.png", max_pixels=H * W)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on odd TIFF tags
@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", PNG[:8], b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"]),
)
def test_any_bytes_give_an_image_or_a_reason(data: bytes, signature: bytes) -> None:
    assert_image_or_reason(signature + data)


SEEDS = list(seeds().values())


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on odd TIFF tags
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_images_give_an_image_or_a_reason(seed: bytes, data: st.DataObject) -> None:
    mutated = bytearray(seed)
    early = st.integers(0, min(len(seed) - 1, 150)) | st.integers(0, len(seed) - 1)  # headers matter most
    for at, value in data.draw(st.lists(st.tuples(early, st.integers(0, 255)), min_size=1, max_size=6)):
        mutated[at] = value
    cut = data.draw(st.integers(0, len(seed)) | st.just(len(seed)))
    assert_image_or_reason(bytes(mutated[:cut]))


def assert_image_or_reason(data: bytes) -> None:
    result: LoadedImage | str
    try:
        result = load_image(data, RGB, ReadOptions(max_pixels=1_000_000))
    except ImageError as error:
        result = str(error)
    if isinstance(result, str):
        assert 12 <= len(result) < 200
        assert " " in result
        assert "0x" not in result, "an address would make the reason unstable"
    else:
        assert result.pixels.shape == (H, W, 3)
        assert result.pixels.dtype == np.uint8


# --- headers and threads


def test_headers(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "colour.png": (PNG, (W, H, False, False)),
        "grey.png": (encode(SCENE[..., 0]), (W, H, True, False)),
        "deep.png": (png16(SCENE[..., 0]), (W, H, True, True)),
        "deep_colour.png": (png16(SCENE.astype(np.uint16) * 257), (W, H, False, True)),
        "turned.jpg": (encode(SCENE, "JPEG", exif=exif), (H, W, False, False)),
        "turned.tif": (encode(SCENE, "TIFF", exif=exif), (H, W, False, False)),
        "grey_alpha.png": (encode(Image.fromarray(SCENE).convert("LA")), (W, H, True, False)),
    }
    for name, (data, want) in files.items():
        (tmp_path / name).write_bytes(data)
        header = read_header(tmp_path / name)
        assert (header.width, header.height, header.gray, header.sixteen_bit) == want, name
    with pytest.raises(ImageError, match="no such file"):
        read_header(tmp_path / "none.png")


def test_threads_read_what_one_thread_reads() -> None:
    alone = [load_image(seed, RGB).pixels for seed in SEEDS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: load_image(seed, RGB).pixels, SEEDS * 10))
    for i, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[i % len(SEEDS)])
