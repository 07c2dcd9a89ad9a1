"""One-class heads by name."""

from collections.abc import Callable

from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.centre import CentreDistance
from onlygood.anomaly.heads.ensemble import Ensemble
from onlygood.anomaly.heads.gaussian import Gaussian
from onlygood.anomaly.heads.knn import NearestNeighbours
from onlygood.anomaly.heads.logprob import LogProbability
from onlygood.anomaly.recipe import HeadConfig

__all__ = ["Head", "create_head"]


def create_head(config: HeadConfig, dim: int, centre: Tensor | None = None) -> Head:
    """An unfitted head for features of ``dim``; ``centre`` is what a Deep SVDD task trained towards."""
    makers: dict[str, Callable[[], Head]] = {
        "logprob": LogProbability,
        "gaussian": lambda: Gaussian(dim),
        "knn": lambda: NearestNeighbours(dim, config.size, config.neighbours),
        "centre": lambda: CentreDistance(dim, centre),
    }
    heads = [makers[name]() for name in config.names]
    return heads[0] if len(heads) == 1 else Ensemble(heads)
