"""One Gaussian over the features."""

from typing import Self

import torch
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.covariance import mean_square, shrunk_covariance, whitening
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict


class Gaussian(Head):
    """Mahalanobis distance to the mean of good regions; covariance shrunk as in Ledoit & Wolf (2004).

    The shrinkage keeps the covariance well-conditioned with many features and few images.
    """

    mean: Tensor
    whiten: Tensor

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("whiten", torch.eye(dim))

    def fit(self, outputs: Outputs) -> Self:
        """Find the mean ``(D,)`` and a matrix ``(D, D)`` that whitens the features."""
        x = outputs.rows()
        mean, covariance = shrunk_covariance(x)
        self.mean.copy_(mean)
        self.whiten.copy_(whitening(covariance, 1e-6 * mean_square(x)))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; about ``sqrt(D)`` for good regions."""
        return ((outputs.plain() - self.mean) @ self.whiten).square().sum(dim=2).sqrt()
