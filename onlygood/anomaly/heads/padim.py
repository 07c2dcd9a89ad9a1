"""A Gaussian for each place of aligned images."""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict

_AT_ONCE = 64  # places whose covariances are computed together


class PaDiMConfig(Strict):
    """``dim`` features are drawn of all, where there are more. ``ridge`` is added to each variance.

    ``rank`` keeps so many directions of each place's covariance and takes the others as equal, which makes
    the model smaller by ``rank / dim``; None keeps all.
    """

    dim: int = Field(default=100, ge=1)
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
    chosen: Tensor
    means: Tensor
    directions: Tensor
    rest: Tensor

    def __init__(self, dim: int, config: PaDiMConfig | None = None) -> None:
        super().__init__(dim, config)
        order = torch.randperm(dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("chosen", order[: self.config.dim].sort().values)
        self.register_buffer("means", torch.zeros(1, len(self.chosen)))
        self.register_buffer("directions", torch.zeros(1, len(self.chosen), 1))
        self.register_buffer("rest", torch.ones(1))

    def fit(self, outputs: Outputs) -> Self:
        """Find each place's mean and the directions of its covariance."""
        x = outputs.plain().index_select(2, self.chosen)
        n, _, dim = x.shape
        rank = self._rank()
        means, directions, rest = [], [], []
        for part in torch.split(x, _AT_ONCE, dim=1):
            centered = part.double() - part.double().mean(dim=0)
            covariance = torch.einsum("npd,npe->pde", centered, centered) / max(1, n - 1)
            covariance += self.config.ridge * torch.eye(dim, dtype=torch.float64)
            values, vectors = torch.linalg.eigh(covariance)  # ascending
            # With the last ``rank`` directions v, the others being equal, the squared distance is
            # ‖x‖² / equal - Σ (v · x)² (1 / equal - 1 / value); with all it is Σ (v · x)² / value.
            less = 1 / values[:, : dim - rank].mean(dim=1) if rank < dim else values.new_zeros(len(values))
            weights = (less[:, None] - 1 / values[:, dim - rank :]).abs()
            means.append(part.mean(dim=0))
            directions.append(vectors[:, :, dim - rank :] * weights.sqrt()[:, None])
            rest.append(less)
        self.means, self.rest = torch.cat(means), torch.cat(rest).float()
        self.directions = torch.cat(directions).float()
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        x = (outputs.plain().index_select(2, self.chosen) - self.means).transpose(0, 1)
        squared = (x @ self.directions).square().sum(dim=2)
        if self._rank() < len(self.chosen):
            squared = x.square().sum(dim=2) * self.rest[:, None] - squared
        return squared.clamp(min=1e-12).sqrt().transpose(0, 1)

    def _rank(self) -> int:
        return min(self.config.rank or len(self.chosen), len(self.chosen))
