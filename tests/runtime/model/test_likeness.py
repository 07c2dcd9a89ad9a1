"""Are new scores like the calibration's? By hand, by counting all orders, and by symmetry."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.model.likeness import flagged_tails, rank_test


def test_flagged_by_hand() -> None:
    """One new score, threshold the largest of one: above it in half of the orders."""
    assert flagged_tails(0, 1, 1, 1) == pytest.approx((0.5, 1.0))
    assert flagged_tails(1, 1, 1, 1) == pytest.approx((1.0, 0.5))
    # Nothing above the second largest of 19, of 20 new ones: C(37, 20) / C(39, 20) = 19 · 18 / (39 · 38)
    assert flagged_tails(0, 20, 2, 19)[0] == pytest.approx(19 * 18 / (39 * 38))


@pytest.mark.parametrize(("rank", "old", "new"), [(1, 3, 3), (2, 4, 3), (3, 3, 4)])
def test_flagged_is_the_share_of_orders(rank: int, old: int, new: int) -> None:
    counts = []
    for places in itertools.combinations(range(old + new), old):  # of the calibration scores among all
        limit = sorted(places)[-rank]
        counts.append(sum(place > limit for place in set(range(old + new)) - set(places)))
    for flagged in range(new + 1):
        at_most = np.mean([count <= flagged for count in counts])
        at_least = np.mean([count >= flagged for count in counts])
        assert flagged_tails(flagged, new, rank, old) == pytest.approx((at_most, at_least))


def test_many_scores_do_not_overflow() -> None:
    at_most, at_least = flagged_tails(500, 50_000, 500, 49_999)
    assert 0.4 < at_most < 0.6
    assert 0.4 < at_least < 0.6


def test_ranks_by_hand() -> None:
    """Three above three: U is 9 of 9, 4.5 from the middle, with the deviation sqrt(9 · 7 / 12)."""
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    assert rank_test(x, y) == pytest.approx(0.0495346)  # 2 (1 - Φ(1.96396))
    assert rank_test(x, x) == 1


@given(st.lists(st.integers(-9, 9), min_size=1), st.lists(st.integers(-9, 9), min_size=1))
def test_ranks_know_no_sides_and_no_scale(one: list[int], other: list[int]) -> None:
    x, y = np.array(one, np.float64), np.array(other, np.float64)
    assert rank_test(x, y) == pytest.approx(rank_test(y, x))
    assert rank_test(np.exp(x), np.exp(y)) == pytest.approx(rank_test(x, y))


def test_ranks_of_one_law_are_rarely_called_different() -> None:
    rng = np.random.default_rng(0)
    found = [rank_test(rng.gamma(2, size=60), rng.gamma(2, size=90)) for _ in range(2000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.015)
