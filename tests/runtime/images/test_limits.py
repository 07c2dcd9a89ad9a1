"""Limits of the reader: what would cost far more than its pixels is refused, and memory is shared."""

import io
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import SCENE, H, W, chunk, encode, rle_bmp
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images import guards
from onlygood.runtime.images.memory import DEFAULT_MAX_MEMORY, Budget
from onlygood.runtime.images.reader import ReadOptions, load_image
from onlygood.runtime.images.spec import InputSpec

RGB = InputSpec(height=H, width=W, channels=3)
PNG = encode(SCENE)
JPEG = encode(SCENE, "JPEG")


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(data, RGB)
    return str(caught.value)


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MAX_PARTS", 100)
    monkeypatch.setattr(guards, "MAX_BLOCKS", 100)


def png_with(count: int) -> bytes:
    return PNG[:33] + chunk(b"teSt", b"") * count + PNG[33:]


def png_behind(count: int) -> bytes:
    at = PNG.index(b"IEND") - 4
    return PNG[:at] + chunk(b"teSt", b"") * count + PNG[at:]


def jpeg_with(count: int) -> bytes:
    return JPEG[:2] + b"\xff\xfe\0\2" * count + JPEG[2:]


def jpeg_padded(count: int) -> bytes:
    return JPEG[:20] + b"\xff" * count + JPEG[20:]


def gif_with(count: int) -> bytes:
    gif = encode(Image.fromarray(SCENE[..., 0]), "GIF")
    start = 13 + (3 << ((gif[10] & 7) + 1) if gif[10] & 128 else 0)
    return gif[:start] + b"!\xfe\0" * count + gif[start:]


def gif_with_blocks(count: int) -> bytes:
    gif = encode(Image.fromarray(SCENE[..., 0]), "GIF")
    start = 13 + (3 << ((gif[10] & 7) + 1) if gif[10] & 128 else 0)
    return gif[:start] + b"!\xfe" + b"\1x" * count + b"\0" + gif[start:]


def jpeg_2000_with(count: int) -> bytes:
    data = encode(SCENE, "JPEG2000", no_jp2=True)
    end = data.index(b"\xff\x90")
    return data[:end] + b"\xff\x64\0\x04\0\1" * count + data[end:]


@pytest.mark.parametrize(
    "make", [png_with, png_behind, jpeg_with, jpeg_padded, gif_with, gif_with_blocks, jpeg_2000_with]
)
def test_parts_of_a_file_are_bounded(make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    load_image(make(20), RGB)
    assert "more than 100 " in reason(make(120))
    assert "no picture needs" in reason(make(120))


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_texts_and_profiles_of_a_png_are_bounded(kind: bytes) -> None:
    """Each is inflated anew: 3,000 profiles in 3 MB took 20 seconds."""

    def with_texts(count: int) -> bytes:
        return PNG[:33] + chunk(kind, b"a\0\0" + zlib.compress(b"x" * 9)) * count + PNG[33:]

    load_image(with_texts(200), RGB)
    assert reason(with_texts(257)).startswith("a PNG file of more than 256 texts and profiles")


def test_blocks_of_the_largest_gif_are_within_the_limit() -> None:
    """12 bits a pixel, which is the most that LZW takes, in blocks of 255 bytes."""
    assert guards.MAX_BLOCKS > 100_000_000 * 12 / 8 / 255


def test_deep_pixels_take_less_than_what_is_set_aside_for_them() -> None:
    data = b"P6 2000 1000 1000\n" + bytes(2000 * 1000 * 6)
    tracemalloc.start()
    load_image(data, RGB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 1000 * 32


def test_parts_of_an_ordinary_large_file_are_far_from_the_limit() -> None:
    """100 million pixels that do not compress, in chunks of 8 KiB as libpng writes them."""
    assert guards.MAX_PARTS > 100_000_000 * 3 / 8192


def test_frames_of_a_gif_are_counted_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.fromarray(np.full((H, W), level, np.uint8)) for level in range(30)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(data, RGB).notes == ("frames: page 1 of 30",)
    monkeypatch.setattr(guards, "MAX_FRAMES", 10)
    assert load_image(data, RGB).notes == ("frames: page 1 of more than 10",)


def test_scans_of_a_jpeg_are_bounded() -> None:
    """libjpeg goes over all pixels once a scan: thousands of scans of a small file take minutes."""
    progressive = encode(np.tile(SCENE, (3, 3, 1)), "JPEG", progressive=True)
    load_image(progressive, RGB)
    start = progressive.rindex(b"\xff\xda")
    scan = progressive[start:-2]
    assert "scans, which would take minutes" in reason(progressive[:start] + scan * 200 + b"\xff\xd9")
    with pytest.raises(ImageError, match="21 scans"):
        guards.jpeg_scans(b"\xff\xda" * 21, 100_000_000)
    guards.jpeg_scans(b"\xff\xda" * 20, 100_000_000)  # as progressive as they come, of the largest size


@pytest.mark.parametrize("runs", [b"\0\0" * 20_000, b"\0\1", b"\0\2\xff\xff" * 9000])
def test_run_length_encoded_bmp_is_bounded_in_pixels(runs: bytes) -> None:
    """41 kB that Pillow, in Python, takes seconds to blow up to 9 million pixels."""
    said = reason(rle_bmp(3000, 3000, runs))
    assert said.startswith("a run-length encoded BMP file of 3000 x 3000 pixels, more than the 4000000")


def test_run_length_encoded_bmp_is_bounded_in_bytes() -> None:
    load_image(rle_bmp(W, H, bytes((W, 7, 0, 0)) * H + b"\0\1"), RGB)
    assert "run-length encoded" in reason(rle_bmp(W, H, bytes((0, 0)) * 4000))


def test_plain_text_ppm_is_refused_before_pillow_parses_it() -> None:
    assert "plain text" in reason(b"P3\n2 2\n255\n" + b"1 " * 12)


def test_ppm_comment_without_end() -> None:
    assert "header cannot be read" in reason(b"P6\n#" + b"x" * 200_000)


# --- memory


def test_a_budget_is_never_exceeded_and_lets_all_pass() -> None:
    budget, most, together = Budget(100), [0], []
    gate = threading.Lock()

    def work(cost: int) -> None:
        with budget.take(cost), gate:
            most[0] = max(most[0], budget.taken)
            together.append(cost)

    threads = [threading.Thread(target=work, args=(cost,)) for cost in [10, 40, 60, 90, 100, 5] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(together) == 120
    assert 0 < most[0] <= 100
    assert budget.taken == 0


def test_what_exceeds_the_budget_goes_alone() -> None:
    budget = Budget(100)
    with budget.take(1000):
        assert budget.taken == 1000
    inside, done = threading.Event(), threading.Event()

    def large() -> None:
        inside.set()
        with budget.take(1000):
            assert budget.taken == 1000
        done.set()

    with budget.take(1):
        thread = threading.Thread(target=large)
        thread.start()
        assert inside.wait(10)
        assert not done.wait(0.05), "it did not wait"
    thread.join(10)
    assert done.is_set()


def test_an_error_gives_the_memory_back() -> None:
    options = ReadOptions(memory=Budget(10**9))
    with pytest.raises(ImageError):
        load_image(PNG[: len(PNG) // 2], RGB, options)
    assert options.memory.taken == 0


def test_large_images_are_decoded_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads, and memory for one and a half of these images."""
    from onlygood.runtime.images import reader  # noqa: PLC0415

    data = encode(np.zeros((400, 500, 3), np.uint8))
    options = ReadOptions(memory=Budget(int(400 * 500 * 16 * 1.5)))
    inside, most = [0], [0]
    resize = reader.resize

    def watched(*arguments: object) -> object:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        result = resize(*arguments)
        inside[0] -= 1
        return result

    monkeypatch.setattr(reader, "resize", watched)
    threads = [threading.Thread(target=load_image, args=(data, RGB, options)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most[0] == 1


def test_default_memory_is_what_the_docs_say() -> None:
    page = " ".join((Path(__file__).parents[3] / "docs/robustness.md").read_text(encoding="utf-8").split())
    assert Budget.of(None).size == DEFAULT_MAX_MEMORY * 10**6
    assert f"{DEFAULT_MAX_MEMORY:,} MB" in page
    assert Budget.of(3).size == 3_000_000


def test_limits_are_what_the_docs_say() -> None:
    page = " ".join((Path(__file__).parents[3] / "docs/robustness.md").read_text(encoding="utf-8").split())
    for number in (
        guards.MAX_PARTS,
        guards.MAX_SCANS,
        guards.MAX_SCANNED,
        guards.RLE_PIXELS,
        guards.MAX_FRAMES,
        guards.MAX_BLOCKS,
        guards.MAX_COMPRESSED,
    ):
        assert f"{number:,}" in page, number


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_walks_end_where_the_file_ends(cut: int) -> None:
    for walk in (guards.jpeg_segments, guards.gif_frames):
        walk(io.BytesIO(struct.pack(">60B", *range(60))[:cut]))
