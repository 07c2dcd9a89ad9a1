"""A Gaussian for each cluster of the features' directions."""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.coreset import some
from onlygood.anomaly.heads.covariance import mean_square, shrunk_covariance, whitening
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.pretrain.losses.clustering import kmeans
from onlygood.runtime.strict import Strict


class SSDConfig(Strict):
    """How many clusters good regions have."""

    clusters: int = Field(default=1, ge=1)


class ClusterGaussians(Head):
    """The least Mahalanobis distance to a cluster of features of length 1 (SSD, Sehwag et al. 2021).

    arXiv:2103.12051. Clusters are those of k-means. Covariances are shrunk as in Ledoit & Wolf (2004), which
    the paper does without.
    """

    Config = SSDConfig
    config: SSDConfig
    means: Tensor
    whiten: Tensor

    def __init__(self, dim: int, config: SSDConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("means", torch.zeros(self.config.clusters, dim))
        self.register_buffer("whiten", torch.eye(dim).repeat(self.config.clusters, 1, 1))

    def fit(self, outputs: Outputs) -> Self:
        """Cluster, and find each cluster's mean ``(D,)`` and whitening ``(D, D)``."""
        x = some(functional.normalize(outputs.rows(), dim=1))
        labels, _ = kmeans(x, self.config.clusters, torch.Generator(x.device).manual_seed(0))
        means, whiten = [], []
        for cluster in range(int(labels.max()) + 1):
            rows = x[labels == cluster]
            mean, covariance = shrunk_covariance(rows)
            means.append(mean.float())
            whiten.append(whitening(covariance, 1e-6 * mean_square(rows)).float())
        self.means, self.whiten = torch.stack(means), torch.stack(whiten)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        x = functional.normalize(outputs.plain(), dim=2)
        distances = [
            ((x - self.means[cluster]) @ self.whiten[cluster]).square().sum(dim=2)
            for cluster in range(len(self.means))
        ]
        return torch.stack(distances).amin(dim=0).sqrt()
