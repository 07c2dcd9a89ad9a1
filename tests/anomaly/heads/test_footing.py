"""Scores on one footing: units and surprises by hand, monotone beyond what was seen, joined."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from onlygood.anomaly.heads.footing import Footing, join


def fitted(scores: Tensor) -> Footing:
    footing = Footing()
    footing.fit(scores)
    return footing


def test_units_by_hand() -> None:
    """Good scores 0 … 100: the median is 50, the 99th percentile 99."""
    footing = fitted(torch.arange(101.0))
    assert footing.units(torch.tensor([50.0, 99.0, 148.0, 1.0])).tolist() == pytest.approx([0, 1, 2, -1])


def test_surprise_is_minus_the_logarithm_of_the_share_above() -> None:
    footing = fitted(torch.arange(1001.0))
    for score, share in ((500.0, 0.5), (750.0, 0.25), (900.0, 0.1), (980.0, 0.02)):
        assert footing.surprise(torch.tensor([score])).item() == pytest.approx(-math.log(share), abs=0.01)
    # The tail goes on as it does from 10 % to 2 %: each 80 / ln 5 further, p falls by e.
    further = footing.surprise(torch.tensor([980.0 + 80 / math.log(5)])).item()
    assert further == pytest.approx(-math.log(0.02) + 1, abs=0.01)


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=40), st.integers(0, 99))
def test_both_rank_as_the_scores_do_however_they_are_spread(good: list[float], seed: int) -> None:
    footing = fitted(torch.tensor(good))
    new = (200 * torch.randn(50, generator=torch.Generator().manual_seed(seed)).double()).sort().values
    for how in ("mean", "fisher"):
        joined = footing.double()(new, how)
        assert joined.isfinite().all()
        assert (joined.diff() >= 0).all()


def test_the_unit_of_scores_does_not_matter() -> None:
    good, new = torch.rand(200, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 3, 9)
    for how in ("mean", "fisher"):
        torch.testing.assert_close(
            fitted(1000 * good)(1000 * new, how), fitted(good)(new, how), rtol=1e-3, atol=1e-3
        )


def test_equal_good_scores_stay_finite() -> None:
    footing = fitted(torch.full((20,), 3.0))
    for how in ("mean", "fisher"):
        assert footing(torch.tensor([2.0, 3.0, 4.0]), how).isfinite().all()


def test_joined_by_hand() -> None:
    parts = [torch.tensor([1.0, 5.0]), torch.tensor([3.0, 0.0])]
    assert join(parts, "mean").tolist() == [2.0, 2.5]
    assert join(parts, "max").tolist() == [3.0, 5.0]
    assert join(parts, "fisher").tolist() == [4.0, 5.0]
