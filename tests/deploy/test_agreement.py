"""Ranks, areas and painted defects: by hand, against the definitions, by invariance."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.deploy.agreement import Probe, auroc, paint, ranks, spearman

numbers = st.lists(st.integers(-5, 5), min_size=2, max_size=12)


def test_ranks_by_hand() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [2.5, 1, 2.5, 4]


def test_spearman_by_hand() -> None:
    """Without ties 1 - 6 Σ d² / (n (n² - 1)): d² = 1, 1, 1, 1 of n = 4."""
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 40, 30])) == pytest.approx(1 - 24 / 60)
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 2, 2.5])) == pytest.approx(1)
    assert spearman(np.ones(3), np.arange(3.0)) == 0
    assert spearman(np.ones(3), np.zeros(3)) == 1


@given(numbers, numbers)
def test_the_area_is_the_share_of_pairs_in_order(good: list[int], bad: list[int]) -> None:
    pairs = [(b > g) + (b == g) / 2 for g, b in itertools.product(good, bad)]
    assert auroc(np.array(good, float), np.array(bad, float)) == pytest.approx(np.mean(pairs))


@given(numbers)
def test_ranks_know_only_the_order(values: list[int]) -> None:
    x = np.array(values, float)
    assert ranks(np.exp(x)).tolist() == ranks(x).tolist()
    assert sum(ranks(x)) == pytest.approx(len(x) * (len(x) + 1) / 2)


@pytest.mark.parametrize("shape", [(16, 16, 1), (40, 24, 3), (64, 200, 1)])
def test_a_painted_defect_changes_a_part_of_the_image(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 190, shape).astype(np.uint8)
    shares = []
    for _ in range(60):
        before = image.copy()
        painted = paint(image, rng)
        assert (painted.shape, painted.dtype) == (image.shape, np.uint8)
        assert (image == before).all()
        shares.append(float((painted != image).any(axis=2).mean()))
    assert 0 < np.median(shares) < 0.25
    assert max(shares) < 0.5
    assert np.mean(np.array(shares) > 0) > 0.9


def test_the_probe_compares_with_what_was() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, 16, 1)).astype(np.uint8) for _ in range(20)]
    probe = Probe(images, lambda image: float(image.mean()), seed=3)
    same = probe.compare(lambda image: float(image.mean()) * 2)
    assert (same.rank, same.loss) == (pytest.approx(1), 0)
    turned = probe.compare(lambda image: -float(image.mean()))
    assert turned.rank == pytest.approx(-1)
    assert turned.auroc == pytest.approx(1 - turned.auroc_before)
    again = Probe(images, lambda image: 0.0, seed=3)
    assert all((one == other).all() for one, other in zip(probe.painted, again.painted, strict=True))
