"""One-class heads by name."""

from collections.abc import Callable

from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.centre import CentreDistance
from onlygood.anomaly.heads.ensemble import Ensemble, PerScale
from onlygood.anomaly.heads.gaussian import Gaussian
from onlygood.anomaly.heads.knn import NearestNeighbours
from onlygood.anomaly.heads.logprob import LogProbability
from onlygood.anomaly.recipe import HeadConfig

__all__ = ["Head", "create_head"]


def create_head(config: HeadConfig, dim: int, counts: list[int], centre: Tensor | None = None) -> Head:
    """An unfitted head for features of ``dim``, with ``counts`` regions at each scale.

    ``centre`` is what a Deep SVDD task trained towards. Several heads or scales are scored in units of their
    own spread.
    """
    makers: dict[str, Callable[[], Head]] = {
        "logprob": LogProbability,
        "gaussian": lambda: Gaussian(dim),
        "knn": lambda: NearestNeighbours(dim, config.size, config.neighbours),
        "centre": lambda: CentreDistance(dim, centre),
    }
    if len(config.names) == 1 and len(counts) == 1:
        return makers[config.names[0]]()
    scales: list[Head] = [Ensemble([makers[name]() for name in config.names]) for _ in counts]
    return scales[0] if len(scales) == 1 else PerScale(scales, counts)
