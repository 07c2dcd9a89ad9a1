"""Are new good images like those that a model was calibrated on? Two tests on their scores."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def flagged_tails(flagged: int, new: int, rank: int, calibration: int) -> tuple[float, float]:
    """The chances that at most, and that at least, ``flagged`` of ``new`` good images are flagged.

    The threshold is the ``rank``-th largest of the ``calibration`` scores, and all scores are alike and
    different: then each order of them is as likely, and the number flagged follows the negative
    hypergeometric law ``P(k) = C(k + rank - 1, k) C(calibration - rank + new - k, new - k) / C(calibration +
    new, new)``, in which also the chance of the threshold counts.
    """
    k = np.arange(new + 1)
    chances = np.exp(
        _log_choose(k + rank - 1, k)
        + _log_choose(calibration - rank + new - k, new - k)
        - _log_choose(np.array(calibration + new), np.array(new))
    )
    at_most, at_least = chances[: flagged + 1].sum(), chances[flagged:].sum()
    return min(1.0, float(at_most)), min(1.0, float(at_least))


def _log_choose(n: NDArray[np.integer], k: NDArray[np.integer]) -> Floats:
    factorial = np.vectorize(math.lgamma, otypes=[np.float64])
    return np.asarray(factorial(n + 1) - factorial(k + 1) - factorial(n - k + 1))


def rank_test(one: Floats, other: Floats) -> float:
    """Two-sided p-value that two samples ``(n,)`` and ``(m,)`` are of one law (Mann & Whitney 1947).

    By the normal approximation, which is close from about ten values a sample on.
    """
    n, m = len(one), len(other)
    ordered = np.sort(one)
    below, up_to = (np.searchsorted(ordered, other, side=side).sum() for side in ("left", "right"))
    excess = (below + up_to) / 2 - n * m / 2
    return math.erfc(abs(excess) / math.sqrt(n * m * (n + m + 1) / 12) / math.sqrt(2))
