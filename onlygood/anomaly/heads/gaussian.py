"""One Gaussian over the features."""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from onlygood.anomaly.heads.base import Head
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
        from sklearn.covariance import ledoit_wolf  # noqa: PLC0415

        x = outputs.rows().double().cpu().numpy()
        mean = x.mean(axis=0)
        covariance, _ = ledoit_wolf(x - mean, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        # Where features vary little compared with their size, the variation is rounding, not information.
        # Whitening would enlarge it, and scores would differ between machines. Dead units do not vary at all.
        floor = max(1e-6 * float(np.square(x).mean()), 1e-6 * values[-1], 1e-12)
        self.mean.copy_(torch.from_numpy(mean))
        self.whiten.copy_(torch.from_numpy(vectors / np.sqrt(np.maximum(values, floor))))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; about ``sqrt(D)`` for good regions."""
        x = outputs.plain()
        return ((x - self.mean) @ self.whiten).square().sum(dim=2).sqrt()
