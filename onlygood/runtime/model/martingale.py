"""Tests of whether a stream is still like its beginning, that may be looked at after every image.

Conformal test martingales (Vovk, Gammerman & Shafer 2005; Vovk et al. 2021, "Retrain or not retrain:
conformal test martingales for change-point detection", arXiv:2102.10439). As long as all values so far are
exchangeable, the smoothed p-values of each among those before it are independent and uniform, whatever their
distribution. A gambler bets on them. None of the bets is favorable then, so by Ville's inequality the
gambler's capital, which begins at 1, ever reaches 1/alpha with probability at most alpha.
"""

from bisect import bisect_left, bisect_right, insort

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SLOPES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])  # of bets on p-values; beyond 2 a bet could be below 0
_STAKES = np.array([0.0, 0.02, 0.05, 0.2, 0.5])  # of bets on shares
_JUMPS = np.array([[1.0], [0.1], [0.01], [0.001]])  # share of the capital that changes its bet each time


class Bag:
    """Values seen so far, and the p-value of each new one among them."""

    def __init__(self, values: list[float]) -> None:
        self._values = sorted(values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float, tie: float) -> float:
        """Put a value in; returns its smoothed p-value: the share of values, its own included, above it.

        Of those that equal it, the part ``tie`` counts, a uniform random number from 0 to 1.
        """
        above = len(self._values) - bisect_right(self._values, value)
        equal = len(self._values) - above - bisect_left(self._values, value) + 1
        insort(self._values, value)
        return (above + tie * equal) / len(self._values)

    def middle(self, share: float) -> tuple[float, float]:
        """The range of the ``share`` of values in the middle."""
        low, high = np.quantile(self._values, [(1 - share) / 2, (1 + share) / 2])
        return float(low), float(high)


class Gamblers:
    """Several gamblers, each of whom spreads his capital over bets and moves it among them (simple jumper).

    It is moved at several rates at once, so that it need not be known how the values will change, nor when.
    """

    def __init__(self, count: int) -> None:
        bets = len(_SLOPES)
        self._capital = np.full((count, len(_JUMPS), bets), 1.0 / bets / len(_JUMPS))

    def play(self, returns: Floats) -> Floats:
        """What each bet of each gambler multiplies its stake by ``(count, 5)``; returns their capitals."""
        even = self._capital.sum(axis=2, keepdims=True) / self._capital.shape[2]
        self._capital = ((1 - _JUMPS) * self._capital + _JUMPS * even) * returns[:, None]
        capitals: Floats = self._capital.sum(axis=(1, 2))
        return capitals


def p_value_returns(p: Floats) -> Floats:
    """Returns ``(n, 5)`` of the bets on p-values ``(n,)``: each is 1 on average if they are uniform.

    Nothing was bet on those that are not a number.
    """
    returns: Floats = 1 + np.nan_to_num(p - 0.5)[:, None] * _SLOPES
    return returns


def share_returns(happened: bool, most: float) -> Floats:
    """Returns ``(5,)`` of the bets on an event: each at most 1 on average if it has probability ``most``."""
    returns: Floats = 1 + _STAKES * (happened / most - 1)
    return returns
