"""Split-conformal verdicts: from raw scores to p-values and thresholds with a known false-alarm rate.

With n calibration scores of good images that neither encoder nor head saw, the p-value of a score s is
``(1 + #{calibration >= s}) / (n + 1)``; calling ``p <= alpha`` anomalous flags a fresh good image with
probability at most alpha (Vovk et al. 2005; Bates et al. 2023, "Testing for outliers with conformal
p-values", arXiv:2104.08279).
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.limits import SMALLEST_RATE

Floats = NDArray[np.floating[Any]]


class Interval(NamedTuple):
    """The true false-alarm rate of a threshold, as far as n calibration images can tell."""

    low: float
    mean: float
    high: float


def p_values(calibration: Floats, scores: Floats) -> NDArray[np.float64]:
    """Conformal p-values ``(N,)`` of ``scores`` ``(N,)``; NaN stays NaN. ``calibration`` ``(n,)`` ascends."""
    n = len(calibration)
    at_least = n - np.searchsorted(calibration, scores, side="left")
    return np.where(np.isnan(scores), np.nan, (1 + at_least) / (n + 1))


def threshold(calibration: Floats, alpha: float) -> float:
    """The k-th largest calibration score: ``p <= alpha`` for scores above it, and only for those.

    Raises:
        OnlygoodError: there are too few calibration scores for ``alpha``.
    """
    n = len(calibration)
    k = rank(n, alpha)
    if k == 0:
        raise OnlygoodError(
            f"a false-alarm rate of {alpha:g} needs at least {minimum_n(alpha)} calibration images and the"
            f" model has {n}; the smallest rate that these allow is {_round_up(smallest_alpha(n))}"
        )
    return float(calibration[n - k])


def minimum_n(alpha: float, k: int = 1) -> int:
    """Fewest calibration images whose ``k``-th largest score is the threshold: ``ceil(k/alpha) - 1``.

    With k = 1 verdicts at rate ``alpha`` are possible, but depend on a single image; with k = 2 they do not.
    """
    _check_rate(alpha)
    near = math.ceil(k / alpha) - 1  # k/alpha may have been rounded, either way
    return next(n for n in range(max(near - 1, 1), near + 3) if rank(n, alpha) >= k)


def smallest_alpha(n: int, k: int = 1) -> float:
    """Lowest false-alarm rate at which the ``k``-th largest of ``n`` calibration scores is the threshold."""
    return k / (n + 1)


def without(calibration: Floats, left_out: Iterable[float]) -> NDArray[np.float64]:
    """Ascending ``calibration`` ``(n,)`` with each of the scores in ``left_out`` removed once."""
    kept = np.asarray(calibration, dtype=np.float64)
    for score in left_out:
        kept = np.delete(kept, np.flatnonzero(kept == score)[:1])
    return kept


def achieved_interval(n: int, alpha: float, confidence: float = 0.95) -> Interval:
    """Central interval and mean of the true false-alarm rate of the threshold at ``alpha``.

    Over draws of the calibration set the rate follows Beta(k, n + 1 - k), where ``k = floor(alpha (n + 1))``
    (Vovk 2012, "Conditional validity of inductive conformal predictors", arXiv:1209.2673). Scores are assumed
    to be continuous.
    """
    k = rank(n, alpha)
    if k == 0:
        return Interval(0.0, 0.0, 0.0)  # nothing is ever flagged
    tail = (1 - confidence) / 2
    return Interval(_beta_quantile(k, n, tail), k / (n + 1), _beta_quantile(k, n, 1 - tail))


def rank(n: int, alpha: float) -> int:
    """Largest k with ``k / (n + 1) <= alpha``, in the floating-point arithmetic that compares p-values."""
    _check_rate(alpha)
    k = math.floor(alpha * (n + 1))
    if k / (n + 1) > alpha:
        return k - 1
    return k + 1 if (k + 1) / (n + 1) <= alpha else k


def _check_rate(alpha: float) -> None:
    if not SMALLEST_RATE < alpha < 1:
        raise OnlygoodError(
            f"a false-alarm rate lies between 0 and 1, above {SMALLEST_RATE:g}; {alpha:g} does not"
        )


def _round_up(rate: float) -> str:
    """``rate`` with four significant digits, rounded up so that a user may type it and it is not refused."""
    digits = 3 - math.floor(math.log10(rate))
    return f"{math.ceil(rate * 10**digits) / 10**digits:g}"


def _beta_quantile(k: int, n: int, probability: float) -> float:
    """Quantile of Beta(k, n + 1 - k) by bisection: its CDF at x is P(Binomial(n, x) >= k)."""
    j = np.arange(k, n + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_choose = log_factorial[n] - log_factorial[j] - log_factorial[n - j]
    low, high = 0.0, 1.0
    for _ in range(60):
        x = (low + high) / 2
        cdf = np.exp(log_choose + j * math.log(x) + (n - j) * math.log1p(-x)).sum()
        low, high = (x, high) if cdf < probability else (low, x)
    return (low + high) / 2
