"""Split-conformal verdicts: from raw scores to p-values and thresholds with a known false-alarm rate.

With n calibration scores of good images that neither encoder nor head saw, the p-value of a score s is
``(1 + #{calibration >= s}) / (n + 1)``; calling ``p <= alpha`` anomalous flags a fresh good image with
probability at most alpha (Vovk et al. 2005; Bates et al. 2023, "Testing for outliers with conformal
p-values", arXiv:2104.08279).

Several images of one part are not exchangeable with those of another. Where parts are named, each part k of
the K counts once, whatever its number n_k of images:
``p = (1 + sum_k (1/n_k) #{its scores >= s}) / (K + 1)``, and a fresh image of a fresh part is flagged with
probability at most alpha (two-layer exchangeability: Dunn, Wasserman & Ramdas 2018, arXiv:1809.07441; Lee,
Barber & Willett 2023, arXiv:2306.06342). The functions take the ``weights`` 1/n_k; without them each image
is a part of its own, which gives the first formula.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.limits import SMALLEST_RATE

Floats = NDArray[np.floating[Any]]

_DECIMALS = 9  # of sums of weights: six sixths are one


class Interval(NamedTuple):
    """The true false-alarm rate of a threshold, as far as n calibration images (or parts) can tell."""

    low: float
    mean: float
    high: float


def part_weights(groups: Sequence[int]) -> NDArray[np.float64]:
    """What each score counts: 1 over the number of images of its part, which ``groups`` ``(n,)`` numbers."""
    _, part, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return np.asarray(1 / sizes[part])


def part_maxima(calibration: Floats, groups: Sequence[int]) -> NDArray[np.float64]:
    """The largest score of each part, ascending.

    A verdict on a whole part ranks the maximum of its scores among these, as one on an image ranks its score.
    """
    names, part = np.unique(np.asarray(groups), return_inverse=True)
    largest = np.full(len(names), -np.inf)
    np.maximum.at(largest, part, calibration)
    return np.sort(largest)


def p_values(calibration: Floats, scores: Floats, weights: Floats | None = None) -> NDArray[np.float64]:
    """Conformal p-values ``(N,)`` of ``scores`` ``(N,)``; NaN stays NaN. ``calibration`` ``(n,)`` ascends."""
    beyond = _beyond(calibration, weights)
    at_least = beyond[np.searchsorted(calibration, scores, side="left")]
    return np.where(np.isnan(scores), np.nan, (1 + at_least) / (1 + beyond[0]))


def threshold(calibration: Floats, alpha: float, weights: Floats | None = None) -> float:
    """The calibration score with ``p <= alpha`` for scores above it, and only for those.

    Of single images that is the k-th largest one, with k = `rank`.

    Raises:
        OnlygoodError: there are too few calibration scores, or parts, for ``alpha``.
    """
    _check_rate(alpha)
    beyond = _beyond(calibration, weights)
    small = np.flatnonzero((1 + beyond) / (1 + beyond[0]) <= alpha)
    if len(small) == 0:
        n, unit = int(beyond[0]), "images" if weights is None else "parts"
        raise OnlygoodError(
            f"a false-alarm rate of {alpha:g} needs at least {minimum_n(alpha)} calibration {unit} and the"
            f" model has {n}; the smallest rate that these allow is {round_up(smallest_alpha(n))}"
        )
    return float(calibration[small[0] - 1])


def _beyond(calibration: Floats, weights: Floats | None) -> NDArray[np.float64]:
    """How many parts, or shares of them, each score and those after it count, and none: ``(n + 1,)``."""
    each = np.ones(len(calibration)) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.append(np.cumsum(each[::-1])[::-1], 0.0).round(_DECIMALS)


def minimum_n(alpha: float, k: int = 1) -> int:
    """Fewest calibration images whose ``k``-th largest score is the threshold: ``ceil(k/alpha) - 1``.

    With k = 1 verdicts at rate ``alpha`` are possible, but depend on a single image; with k = 2 they do not.
    Where parts are named, both are said of parts.
    """
    _check_rate(alpha)
    near = math.ceil(k / alpha) - 1  # k/alpha may have been rounded, either way
    return next(n for n in range(max(near - 1, 1), near + 3) if rank(n, alpha) >= k)


def smallest_alpha(n: int, k: int = 1) -> float:
    """Lowest false-alarm rate at which the ``k``-th largest of ``n`` calibration scores is the threshold."""
    return k / (n + 1)


def corrected_rate(calibration: Floats, rate: float, kept: int, weights: Floats | None = None) -> float:
    """The smallest rate, ``rate`` at least, whose threshold is one of the ``kept`` lowest scores.

    Those above are suspects: perhaps not good, and then the threshold must not be one of them. But perhaps
    they are good, and scores that are dropped because they are large leave p-values that are too small. So
    they go on being counted, as above every threshold, and the rate pays for them: with d single images
    above, (d + 1)/(n + 1). At any rate that was fixed before looking the promise stays exact.
    """
    beyond = _beyond(calibration, weights)
    return max(rate, float((1 + beyond[kept]) / (1 + beyond[0])))


def without(calibration: Floats, left_out: Iterable[float]) -> NDArray[np.bool_]:
    """Which of the ascending scores ``(n,)`` stay if each of the scores in ``left_out`` is removed once."""
    stay = np.ones(len(calibration), dtype=bool)
    for score in left_out:
        stay[np.flatnonzero(stay & (calibration == score))[:1]] = False
    return stay


def achieved_interval(n: int, alpha: float, confidence: float = 0.95) -> Interval:
    """Central interval and mean of the true false-alarm rate of the threshold at ``alpha``.

    Over draws of the calibration set the rate follows Beta(k, n + 1 - k), where ``k = floor(alpha (n + 1))``
    (Vovk 2012, "Conditional validity of inductive conformal predictors", arXiv:1209.2673). Scores are assumed
    to be continuous. For n parts it is the law where the images of a part score alike, which varies most.
    """
    k = rank(n, alpha)
    if k == 0:
        return Interval(0.0, 0.0, 0.0)  # nothing is ever flagged
    tail = (1 - confidence) / 2
    return Interval(beta_quantile(k, n, tail), k / (n + 1), beta_quantile(k, n, 1 - tail))


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


def round_up(rate: float) -> str:
    """``rate`` with four significant digits, rounded up so that a user may type it and it is not refused."""
    digits = 3 - math.floor(math.log10(rate))
    return f"{math.ceil(rate * 10**digits) / 10**digits:g}"


def beta_quantile(k: int, n: int, probability: float) -> float:
    """Quantile of Beta(k, n + 1 - k), 1 <= k <= n, by bisection: its CDF at x is P(Binomial(n, x) >= k)."""
    j = np.arange(k, n + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_choose = log_factorial[n] - log_factorial[j] - log_factorial[n - j]
    low, high = 0.0, 1.0
    for _ in range(60):
        x = (low + high) / 2
        cdf = np.exp(log_choose + j * math.log(x) + (n - j) * math.log1p(-x)).sum()
        low, high = (x, high) if cdf < probability else (low, x)
    return (low + high) / 2
