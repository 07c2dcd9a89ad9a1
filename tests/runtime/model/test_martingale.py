import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.model.martingale import Bag, Gamblers, p_value_returns, share_returns


def bet(gamblers: Gamblers, *p: float) -> float:
    """The capital of the first gambler after one p-value each."""
    return float(gamblers.play(p_value_returns(np.array(p)))[0])


def test_p_values_by_hand() -> None:
    bag = Bag([3.0, 1.0, 2.0])
    assert bag.add(4.0, 0.5) == pytest.approx(0.5 / 4)  # none of four above, itself by half
    assert bag.add(0.0, 1.0) == 1.0
    assert bag.add(2.0, 0.25) == pytest.approx((2 + 0.25 * 2) / 6)  # 3 and 4 above; 2 twice
    assert Bag([]).add(7.0, 0.3) == pytest.approx(0.3)
    assert len(bag) == 6


def test_the_middle_by_hand() -> None:
    assert Bag([float(n) for n in range(101)]).middle(0.9) == pytest.approx((5.0, 95.0))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_only_ranks_count(values: list[int]) -> None:
    one, other = Bag([]), Bag([])
    for value in values:
        assert one.add(value, 0.5) == other.add(np.exp(3.0 * value) - 7, 0.5)


def test_p_values_of_every_order_are_uniform() -> None:
    """Over all orders of four values the last p-value is each of 0 to 3 quarters, equally often."""
    last = []
    for order in itertools.permutations([1.0, 2.0, 3.0, 4.0]):
        bag = Bag([])
        last.append([bag.add(value, 0.0) for value in order][-1])
    assert sorted(last) == sorted([0.0, 0.25, 0.5, 0.75] * 6)


def test_no_bet_is_favorable() -> None:
    """On average over a uniform p-value, and over an event as frequent as it may be, all get their stake."""
    grid = (np.arange(1000) + 0.5) / 1000
    assert p_value_returns(grid).mean(axis=0) == pytest.approx(np.ones(5))
    even = 0.1 * share_returns(True, 0.1) + 0.9 * share_returns(False, 0.1)
    assert even == pytest.approx(np.ones(5))
    rare = 0.05 * share_returns(True, 0.1) + 0.95 * share_returns(False, 0.1)
    assert (rare <= 1).all()
    assert min(p_value_returns(np.array([0.0, 1.0])).min(), share_returns(False, 0.1).min()) >= 0
    assert p_value_returns(np.array([np.nan])).tolist() == [[1.0] * 5]


def test_capital_by_hand() -> None:
    """Two images of p = 0: bets with slopes -2 … 2 return 2, 1.5, 1, .5, 0. The other gambler sits still."""
    gamblers = Gamblers(2)
    assert gamblers.play(p_value_returns(np.array([0.0, 0.5]))) == pytest.approx([1.0, 1.0])
    # A share 1 - J stays where it is, and J is spread evenly: the mean over the four rates J.
    stay = np.mean(np.array([2, 1.5, 1, 0.5, 0.0]) ** 2)
    mean = np.mean([(1 - jump) * stay + jump for jump in (1, 0.1, 0.01, 0.001)])
    assert gamblers.play(p_value_returns(np.array([0.0, 0.5]))) == pytest.approx([mean, 1.0])


def test_the_expected_capital_is_the_capital_whatever_happened() -> None:
    """That of a martingale, after any history."""
    for before in ([], [0.1, 0.9, 0.2], [0.01] * 20):
        gamblers, now = Gamblers(200), 1.0
        for p in before:
            now = bet(gamblers, *[p] * 200)
        after = gamblers.play(p_value_returns((np.arange(200) + 0.5) / 200))
        assert after.mean() == pytest.approx(now)


def test_a_change_after_long_peace_is_found() -> None:
    rng = np.random.default_rng(0)
    ranks, shares = Gamblers(1), Gamblers(1)
    for p in rng.random(3000):
        bet(ranks, p)
        shares.play(share_returns(p < 0.01, 0.1)[None])
    low = [bet(ranks, p) for p in 0.3 * rng.random(60)]
    often = [float(shares.play(share_returns(p < 0.5, 0.1)[None])[0]) for p in rng.random(60)]
    assert next(i for i, capital in enumerate(low) if capital > 1000) < 40
    assert next(i for i, capital in enumerate(often) if capital > 1000) < 60
