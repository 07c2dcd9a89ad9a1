"""Scores of good images that lie far outside those of the others: perhaps their images are not good."""

import numpy as np
from numpy.typing import NDArray

FAR = 10.0  # spreads above the upper quartile; a spread is the distance from the median to that quartile
FAR_LOG = 5.0  # the same for the logarithms
SMALL = 10  # with this number of scores, spreads are so uncertain that both limits double


def distances(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far out each of ``scores`` ``(n,)`` lies; above 1 is far outside.

    The unit is the spread of the upper half, from the median to the upper quartile, which does not change
    much while less than a quarter of the images are bad. Scores are maxima over regions and skewed, and those
    of some heads span powers of ten. So if all are positive, a suspect must stand out among the logarithms
    too.
    """
    if len(scores) == 0:
        return np.empty(0)
    doubt = 1 + SMALL / len(scores)
    far = _beyond(scores) / (FAR * doubt)
    if scores.min() > 0:
        far = np.minimum(far, _beyond(np.log(scores)) / (FAR_LOG * doubt))
    return far


def _beyond(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances from the upper quartile, in spreads; a spread has a lower bound against rounding."""
    middle, upper = np.quantile(x, [0.5, 0.75])
    return np.asarray((x - upper) / max(upper - middle, 1e-3 * abs(upper), 1e-9))
