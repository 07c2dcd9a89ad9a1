"""A Gaussian for each place of aligned images."""

from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.covariance import whitening
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict

_AT_ONCE = 64  # places whose covariances are computed together
_ENOUGH = 100  # images that tell which combinations of features vary


class PaDiMConfig(Strict):
    """``dim`` values are taken of all features, where there are more; ``ridge`` is added to their variances.

    ``take``: features drawn at random, as in the paper, or the combinations of features that vary most about
    the means of their places, each scaled to variance 1, so that ``ridge`` does not depend on the encoder's
    units. ``rank`` keeps so many directions of each place's covariance and takes the others as equal, which
    makes the model smaller by ``rank / dim``; None keeps all.
    """

    dim: int = Field(default=100, ge=1)
    take: Literal["drawn", "whitened"] = "drawn"
    ridge: float = Field(default=0.01, gt=0)
    rank: int | None = Field(default=None, ge=1)


class PaDiM(Head):
    """Mahalanobis distance to the Gaussian of the same place in good images.

    (Defard et al. 2021, arXiv:2011.08785.) For aligned parts. A region of one image has as many samples as
    there are images, so that the ridge matters where these are few.
    """

    Config = PaDiMConfig
    config: PaDiMConfig
    places = True
    projection: Tensor
    means: Tensor
    directions: Tensor
    rest: Tensor

    def __init__(self, dim: int, config: PaDiMConfig | None = None) -> None:
        super().__init__(dim, config)
        self.dim = min(dim, self.config.dim)
        self.rank = min(self.config.rank or self.dim, self.dim)
        drawn = torch.randperm(dim, generator=torch.Generator().manual_seed(0))[: self.dim].sort().values
        self.register_buffer("projection", torch.eye(dim)[:, drawn])
        self.register_buffer("means", torch.zeros(1, self.dim))
        self.register_buffer("directions", torch.zeros(1, self.dim, 1))
        self.register_buffer("rest", torch.ones(1))

    def fit(self, outputs: Outputs) -> Self:
        """Find each place's mean and the directions of its covariance."""
        features = outputs.plain()
        if self.config.take == "whitened":
            self.projection = _whitened(features, self.dim)
        x = features @ self.projection
        means, directions, rest = [], [], []
        for part in torch.split(x, _AT_ONCE, dim=1):
            covariance = _covariances(part) + self.config.ridge * torch.eye(self.dim, dtype=torch.float64)
            values, vectors = torch.linalg.eigh(covariance)  # ascending
            others = self.dim - self.rank
            # With the last ``rank`` directions v, the others being equal, the squared distance is
            # ‖x‖² / equal - Σ (v · x)² (1 / equal - 1 / value); with all it is Σ (v · x)² / value.
            less = 1 / values[:, :others].mean(dim=1) if others else values.new_zeros(len(values))
            weights = (less[:, None] - 1 / values[:, others:]).abs()
            means.append(part.mean(dim=0))
            directions.append(vectors[:, :, others:] * weights.sqrt()[:, None])
            rest.append(less)
        self.means, self.rest = torch.cat(means), torch.cat(rest).float()
        self.directions = torch.cat(directions).float()
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        x = (outputs.plain() @ self.projection - self.means).transpose(0, 1)
        squared = (x @ self.directions).square().sum(dim=2)
        if self.rank < self.dim:
            squared = x.square().sum(dim=2) * self.rest[:, None] - squared
        return squared.clamp(min=1e-12).sqrt().transpose(0, 1)


def _covariances(x: Tensor) -> Tensor:
    """``(n, P, D)`` to each place's covariance ``(P, D, D)``, float64."""
    centered = x.double() - x.double().mean(dim=0)
    return torch.einsum("npd,npe->pde", centered, centered) / max(1, len(x) - 1)


def _whitened(features: Tensor, dim: int) -> Tensor:
    """A projection ``(D, dim)`` of features ``(n, P, D)`` to what varies most about the means of places."""
    some = features[:: -(-len(features) // _ENOUGH)]
    parts = torch.split(some, _AT_ONCE, dim=1)
    within = torch.stack([_covariances(part).sum(dim=0) for part in parts]).sum(dim=0) / features.shape[1]
    return whitening(within, 0.0)[:, -dim:].float()
