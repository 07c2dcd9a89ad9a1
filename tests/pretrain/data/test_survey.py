"""What a folder holds, before the model's input is chosen."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import tiff
from PIL import Image
from tiny_files import save_noise

from onlygood.pretrain.data import store as images
from onlygood.pretrain.data.store import survey_images
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.reader import load_image


def gray_as_rgb(seed: int) -> NDArray[np.uint8]:
    gray = np.random.default_rng(seed).integers(0, 256, (40, 50, 1), dtype=np.uint8)
    return np.repeat(gray, 3, axis=2)


def test_probe_sizes_are_medians_of_readable_headers(folder: Path) -> None:
    paths = [save_noise(folder / f"{i}.png", i, (10 * i, 20 * i, 3)) for i in (1, 2, 9)] + [
        folder / "gone.png"
    ]
    probe = survey_images(paths)
    assert (probe.median_width, probe.median_height, probe.gray, probe.sixteen_bit) == (40, 20, False, False)


def test_probe_sees_through_rgb_files_that_are_gray(folder: Path) -> None:
    paths = []
    for i in range(4):
        paths.append(folder / f"{i}.jpg")
        Image.fromarray(gray_as_rgb(i)).save(paths[-1], quality=60)
    assert survey_images(paths).gray
    colored = gray_as_rgb(9)
    colored[10:20, 10:20] = (200, 120, 60)
    Image.fromarray(colored).save(folder / "c.png")
    assert not survey_images([*paths, folder / "c.png"]).gray


def test_probe_decodes_a_spread_sample(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for i in range(10):
        paths.append(folder / f"{i}.png")
        Image.fromarray(gray_as_rgb(i)).save(paths[-1])
    seen = []
    monkeypatch.setattr(
        images, "load_image", lambda path, spec: (seen.append(path), load_image(path, spec))[1]
    )
    assert survey_images(paths, sample=4).gray
    assert sorted(seen) == [paths[i] for i in (0, 3, 6, 9)]


def test_probe_of_gray_files_and_depth(folder: Path) -> None:
    gray = save_noise(folder / "g.png", 0, (20, 30))
    assert survey_images([gray]).gray
    assert not survey_images([gray]).sixteen_bit
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(folder / "deep.png")
    assert survey_images([gray, folder / "deep.png"]).sixteen_bit


def test_probe_of_unreadable_files(folder: Path) -> None:
    with pytest.raises(OnlygoodError, match="none of the 1 images can be read"):
        survey_images([folder / "gone.png"])


def sixteen(path: Path, top: int, **chunks: object) -> Path:
    Image.fromarray(np.linspace(0, top, 48).reshape(6, 8).astype(np.uint16)).save(path, **chunks)
    return path


def test_probe_measures_how_far_deep_files_go(folder: Path) -> None:
    paths = [sixteen(folder / f"{i}.png", 3000 + i) for i in range(8)]
    probe = survey_images(paths)
    assert (probe.largest, probe.declared) == (3007, False)
    assert survey_images([save_noise(folder / "a.png", 1)]).largest is None


def test_probe_measures_a_spread_sample_and_takes_declared_depths_unread(folder: Path) -> None:
    """Of a hundred files the brightest is not sampled; of those that say their own depth, all count."""
    paths = [sixteen(folder / f"{i:03}.png", 60_000 if i == 57 else 900) for i in range(100)]
    assert survey_images(paths, sample=4).largest == 900
    declared = folder / "z.pgm"
    declared.write_bytes(b"P5 2 1 4095\n" + bytes(4))
    assert survey_images([declared]).declared
    assert survey_images([declared]).largest == 4095
    both = survey_images([*paths[:3], declared])
    assert (both.largest, both.declared) == (4095, False)


def test_probe_of_deep_files_that_cannot_be_decoded(folder: Path) -> None:
    whole = sixteen(folder / "a.png", 900).read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    assert survey_images([folder / "a.png"]).largest == 0


def test_color_of_twelve_bits_is_color(folder: Path) -> None:
    """Read as 16 bits its channels would differ by less than a JPEG's rounding."""
    paths = []
    for i in range(3):
        color = np.random.default_rng(i).integers(0, 4096, (6, 8, 3)).astype(np.uint16)
        paths.append(folder / f"{i}.tif")
        paths[-1].write_bytes(tiff(color, photometric=2))
    probe = survey_images(paths)
    assert (probe.gray, probe.bit_depth) == (False, 12)
    for path in paths:
        path.write_bytes(tiff(np.repeat(color[..., :1], 3, axis=2), photometric=2))
    assert survey_images(paths).gray
