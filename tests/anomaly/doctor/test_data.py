"""Each check of the data on a planted fault, and none on clean images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.doctor.examine import examine_data, gather_material
from onlygood.anomaly.doctor.findings import Finding
from onlygood.anomaly.looks import clusters, distances, fit_to_median, tell_turns
from onlygood.anomaly.recipe import load_recipe

COUNT, SIDE = 60, 64
Plant = Callable[[Path], None]


def part(seed: int) -> NDArray[np.uint8]:
    """A part with an upright pose at a fixed place, and texture of its own."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIDE, SIDE), 90.0)
    pixels[12:52, 16:34] = 180
    pixels[40:52, 34:50] = 150
    coarse = rng.normal(0, 12, (16, 16)).repeat(4, axis=0).repeat(4, axis=1)
    return np.clip(pixels + coarse + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8] | Image.Image) -> None:
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    for i in np.random.default_rng(0).permutation(COUNT).tolist():
        save(folder / f"{i:03}.png", part(i))
    return folder


def examine(folder: Path, recipe: str = "surfaces", rate: float | None = None) -> dict[str, Finding]:
    material = gather_material(load_recipe(recipe), discover(folder, part="train"))
    return {finding.check: finding for finding in examine_data(material, rate)}


def first(folder: Path) -> Path:
    return folder / "000.png"


def blurred(folder: Path) -> None:
    save(first(folder), Image.fromarray(part(0)).filter(ImageFilter.GaussianBlur(3)))


def copied(folder: Path) -> None:
    (folder / "copy.png").write_bytes(first(folder).read_bytes())


def brightened(folder: Path) -> None:
    save(folder / "again.png", np.clip(part(0).astype(int) + 3, 0, 255).astype(np.uint8))


def colored(folder: Path) -> None:
    for i in range(1, COUNT):
        gray = part(i)
        save(folder / f"{i:03}.png", np.stack([gray, gray // 2, gray // 3], axis=2))


def deep(folder: Path) -> None:
    save(first(folder), Image.fromarray(part(0).astype(np.uint16) * 257))


def compressed(folder: Path) -> None:
    first(folder).unlink()
    Image.fromarray(part(0)).save(folder / "000.jpg", quality=60)


def repeated(folder: Path) -> None:
    for i in range(COUNT):
        noise = np.random.default_rng(i).normal(0, 1, (SIDE, SIDE))
        save(folder / f"{i:03}.png", np.clip(part(i // 5) + noise, 0, 255).astype(np.uint8))


def named(folder: Path) -> None:
    for i in range(COUNT):
        (folder / f"{i:03}.png").rename(folder / f"part{i // 5}_{i}.png")


def squares(folder: Path) -> None:
    """What looks the same however it is turned."""
    rng = np.random.default_rng(1)
    for i in range(COUNT):
        save(folder / f"{i:03}.png", rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))


def harsh(folder: Path) -> None:
    """Dark and light halves whose mean is the others', of three times their contrast, nothing clipped."""
    share = (part(0).mean() - 20) / 220
    pixels = np.full((SIDE, SIDE), 20, np.uint8)
    pixels[: round(share * SIDE)] = 240
    save(first(folder), pixels)


def noisy(folder: Path) -> None:
    rng = np.random.default_rng(0)
    save(first(folder), rng.normal(part(0).mean(), part(0).std(), (SIDE, SIDE)).clip(0, 255).astype(np.uint8))


def every(change: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> Plant:
    """Each image changed, so that nothing in the folder tells what is wrong."""

    def plant(folder: Path) -> None:
        for i in range(COUNT):
            save(folder / f"{i:03}.png", change(part(i)).astype(np.uint8))

    return plant


FAULTS: dict[str, Plant] = {
    "unreadable": lambda folder: first(folder).write_bytes(b"no image") and None,
    "copies": copied,
    "near-duplicates": brightened,
    "sizes": lambda folder: save(first(folder), Image.fromarray(part(0)).resize((64, 32))),
    "colors": colored,
    "depths": deep,
    "compression": compressed,
    "frames: nearly constant": lambda folder: save(first(folder), np.full((SIDE, SIDE), 120, np.uint8)),
    "frames: clipped": lambda folder: save(first(folder), np.where(part(0) > 130, 255, 60).astype(np.uint8)),
    "frames: too dark": lambda folder: save(first(folder), (part(0) * 0.6).astype(np.uint8)),
    "frames: too bright": lambda folder: save(first(folder), (128 + part(0) // 2).astype(np.uint8)),
    "frames: out of focus": blurred,
    "frames: too much contrast": harsh,
    "frames: noise": noisy,
    "nothing to see": every(lambda pixels: 120 + pixels // 40),
    "exposure": every(lambda pixels: pixels * 0.1),
    "clipping": every(lambda pixels: np.where(pixels > 130, 255, 0)),
    "sequence": repeated,
    "few looks": repeated,
    "parts": named,
    "symmetry": squares,
    "alignment": squares,
    "misplaced": lambda folder: save(first(folder), np.roll(part(0), (12, 14), (0, 1))),
}


def test_nothing_is_wrong_with_clean_images(good: Path) -> None:
    found = examine(good)
    assert {check: finding.seen for check, finding in found.items() if finding.level != "note"} == {}
    assert not found.keys() & FAULTS.keys()


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_fault_is_found(good: Path, check: str) -> None:
    FAULTS[check](good)
    found = examine(good)
    assert check in found
    if found[check].files and check not in ("near-duplicates",):
        assert found[check].count < 10 or check in ("sequence", "few looks")


def test_too_few_images_for_the_rate_are_refused_as_by_fit(good: Path) -> None:
    found = examine(good, rate=0.001)["too few images"]
    assert found.level == "problem"
    assert "needs 999 good images" in found.seen


def test_symmetry_is_grave_where_the_task_asks_for_turns(good: Path) -> None:
    squares(good)
    levels = [examine(good, recipe)["symmetry"].level for recipe in ("surfaces", "objects")]
    assert levels == ["note", "warning"]


def test_distances_by_hand() -> None:
    thumbs = np.array([[[0, 2], [0, 2]], [[10, 12], [10, 12]], [[0, 6], [0, 6]]], np.float32)
    gaps = distances(thumbs)
    assert np.isinf(gaps.diagonal()).all()
    assert gaps[0, 1] == 0  # brightness does not count
    assert gaps[0, 2] == pytest.approx(2)


def test_clusters_join_what_is_close_by_a_detour() -> None:
    close = np.zeros((4, 4), bool)
    close[0, 1] = close[1, 3] = True
    group = clusters(close)
    assert group[0] == group[1] == group[3] != group[2]


def test_turns_are_told_of_parts_and_not_of_noise() -> None:
    parts = np.stack([part(i)[:48, :48] for i in range(40)]).astype(np.float32)
    noise = np.random.default_rng(0).normal(128, 30, parts.shape).astype(np.float32)
    assert min(tell_turns(parts)) > 0.95
    assert tell_turns(noise)[0] < 0.4


def test_equal_pictures_lie_on_their_mean() -> None:
    assert fit_to_median(np.stack([part(0)] * 3).astype(np.float32)) == pytest.approx(1)
