"""DeeperCluster: which cluster, and turned by how much? (Caron et al. 2019, arXiv:1905.01278)."""

import torch
from torch import Tensor

from onlygood.pretrain.tasks.deepcluster import DeepClusterConfig, DeepClusterTask
from onlygood.pretrain.views.geometry import rotations
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import random_view


class DeeperClusterConfig(DeepClusterConfig):
    """As for DeepCluster; there are four classes for each cluster."""


class DeeperClusterTask(DeepClusterTask):
    """Cross entropy over clusters × quarter turns; the clusters are of the upright images' features.

    All four turns of a view are in the batch, as in RotNet. The paper draws one turn, and splits its 1.3
    million classes into two levels; our few clusters do not need that.
    """

    config: DeeperClusterConfig
    turns = 4

    def _views(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Views cut square before they are turned: the shape of a turned oblong would tell the angle."""
        x = square(random_view(images, self.standardize, self.config.views, rng), rng)
        return rotations(x).flatten(0, 1)
