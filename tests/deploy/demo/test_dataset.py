"""The rendered plates: reproducible, in the MVTec layout, visible defects, and no cheap way to tell them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlygood.deploy.demo.dataset import Counts, image_paths, mask_path, write
from onlygood.deploy.demo.defects import KINDS, VISIBLE, spoil
from onlygood.deploy.demo.plate import HOLES, SIZE, expose, make_plate, shade, smooth_noise

SMALL = Counts(train=3, test_good=24, defects=8)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plates")
    write(root, seed=7, counts=SMALL)
    return root


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    """By its definition, over all pairs, and whichever way round separates better."""
    higher = (bad[:, None] > good[None]).mean() + 0.5 * (bad[:, None] == good[None]).mean()
    return max(higher, 1 - higher)


def test_layout_is_mvtecs_with_a_mask_of_the_same_size_for_every_defect(rendered: Path) -> None:
    found = {str(path.relative_to(rendered)) for path in rendered.rglob("*.png")}
    expected = {f"train/good/{i:03}.png" for i in range(3)} | {f"test/good/{i:03}.png" for i in range(24)}
    for kind in ("scratch", "dent", "stain", "fibre", "chipped_edge"):
        expected |= {f"test/{kind}/{i:03}.png" for i in range(8)}
        expected |= {f"ground_truth/{kind}/{i:03}_mask.png" for i in range(8)}
    assert found == expected
    for path in image_paths(rendered, SMALL):
        assert pixels(path).shape == (SIZE, SIZE)
        if path.parent.name != "good":
            mask = pixels(mask_path(path))
            assert mask.shape == (SIZE, SIZE)
            assert set(np.unique(mask)) == {0, 255}


def test_default_counts_follow_the_training_images() -> None:
    assert Counts.for_training_images(240) == Counts(240, 60, 20) == Counts()
    assert Counts().tested == 60 + 5 * 20
    assert Counts.for_training_images(5) == Counts(5, 1, 1)


def test_same_seed_same_bytes_and_another_seed_other_pictures(tmp_path: Path) -> None:
    counts = Counts(train=1, test_good=1, defects=1)
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        write(tmp_path / folder, seed, counts)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(files) == 2 + 2 * len(KINDS)
    for file in files:
        first = (tmp_path / "a" / file).read_bytes()
        assert first == (tmp_path / "b" / file).read_bytes()
        assert first != (tmp_path / "c" / file).read_bytes()


def test_no_single_number_of_the_picture_tells_good_from_defective(rendered: Path) -> None:
    """A demo that a brightness threshold solves would show nothing."""

    def numbers(path: Path) -> list[float]:
        image = pixels(path).astype(float)
        slope = np.hypot(*np.gradient(image))
        low, high = np.percentile(image, [1, 99])
        return [image.mean(), image.std(), image.min(), image.max(), slope.max(), slope.mean(), low, high]

    good = np.array([numbers(path) for path in sorted((rendered / "test" / "good").iterdir())])
    bad = np.array([numbers(path) for kind in KINDS for path in sorted((rendered / "test" / kind).iterdir())])
    separations = [auroc(good[:, i], bad[:, i]) for i in range(good.shape[1])]
    assert max(separations) < 0.75, separations


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_visible_where_its_mask_says_and_nowhere_else(kind: str) -> None:
    rng = np.random.default_rng(11)
    for _ in range(6):
        plate = make_plate(rng)
        picture, mask = spoil(rng, plate, kind)
        difference = np.abs(picture - shade(plate))
        assert difference[mask].mean() >= VISIBLE
        assert difference[mask].sum() > 0.7 * difference.sum()
        assert 0.0003 < mask.mean() < 0.08
        away = np.ones_like(mask)
        rows, columns = np.nonzero(mask)
        away[max(0, rows.min() - 8) : rows.max() + 9, max(0, columns.min() - 8) : columns.max() + 9] = False
        assert difference[away].max() < 0.5  # grey levels: the rest of the plate stays as it was


def test_good_plates_differ_in_light_place_and_texture() -> None:
    rng = np.random.default_rng(2)
    plates = [make_plate(rng) for _ in range(12)]
    pictures = np.stack([shade(plate) for plate in plates])
    means = pictures.mean(axis=(1, 2))
    assert means.max() - means.min() > 15
    assert np.ptp([plate.x[SIZE // 2, SIZE // 2] for plate in plates]) > 4  # pixels of shift
    texture = [picture[150:180, 15:45] - picture[150:180, 15:45].mean() for picture in pictures]
    correlations = np.corrcoef([patch.ravel() for patch in texture])
    assert np.abs(correlations[np.triu_indices(12, 1)]).mean() < 0.4


def test_holes_are_dark_chamfers_face_the_lamp_and_metal_is_not_clipped() -> None:
    rng = np.random.default_rng(5)
    for _ in range(4):
        plate = make_plate(rng)
        picture = shade(plate)
        for across, down, radius in HOLES:
            x, y = plate.x - across, plate.y - down
            distance = np.hypot(x, y)
            metal = picture[(distance > radius + 6) & (distance < radius + 14)].mean()
            assert picture[distance < radius - 6].mean() < 0.35 * metal
            rim = (distance > radius + 1) & (distance < radius + 3)
            towards_lamp = x * plate.light.direction[0] + y * plate.light.direction[1] > 0
            # A chamfer slopes down towards its hole: the side away from the lamp faces it.
            assert picture[rim & ~towards_lamp].mean() > picture[rim & towards_lamp].mean() + 10
        assert (picture > 250).mean() < 0.01


def test_sensor_noise_grows_with_light_and_is_unbiased() -> None:
    rng = np.random.default_rng(1)
    dark = expose(rng, np.full((SIZE, SIZE), 20, np.float32)).astype(float)
    bright = expose(rng, np.full((SIZE, SIZE), 200, np.float32)).astype(float)
    assert abs(dark.mean() - 20) < 0.05
    assert abs(bright.mean() - 200) < 0.05
    assert dark.std() < bright.std() < 4
    assert expose(rng, np.full((SIZE, SIZE), 900, np.float32)).min() == 255


def test_smooth_noise_is_standardized_and_smoother_at_larger_scales() -> None:
    rng = np.random.default_rng(0)
    steps = []
    for scale in (4, 30):
        field = smooth_noise(rng, scale)
        assert abs(float(field.mean())) < 1e-4
        assert float(field.std()) == pytest.approx(1, abs=1e-3)
        steps.append(np.abs(np.diff(field, axis=0)).mean())
    assert steps[0] > 4 * steps[1]
