"""Barlow Twins: views agree, dimensions do not repeat each other (Zbontar et al. 2021, arXiv:2103.03230)."""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.losses.redundancy import barlow_twins
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class BarlowTwinsConfig(Strict):
    """The CIFAR preset, half as wide; ``off_diagonal`` weighs redundancy.

    ``scale`` multiplies the whole loss. The preset's optimizer (LARS) does not depend on it; SGD diverges
    without it.
    """

    views: Views = Field(default_factory=crop_and_color)
    projection: int = Field(default=1024, ge=2)
    off_diagonal: float = Field(default=0.0051, ge=0)
    scale: float = Field(default=0.01, gt=0)


class BarlowTwinsTask(Task):
    """Cross-correlation of two views to the identity; no negatives, and both views are treated alike."""

    config: BarlowTwinsConfig
    projector: nn.Module

    def __init__(
        self, encoder: Encoder, config: BarlowTwinsConfig, standardize: Standardize = "fixed"
    ) -> None:
        super().__init__(encoder, config, standardize)
        width = config.projection
        self.projector = mlp(encoder.dim, width, width, width, bias_last=False)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """``scale`` times the squared distance of the correlations from the identity."""
        views = [random_view(images, self.standardize, self.config.views, rng) for _ in range(2)]
        features = [self.encoder(view) for view in views]
        a, b = (self.projector(f) for f in features)
        loss = self.config.scale * barlow_twins(a, b, self.config.off_diagonal)
        return TaskOutput(loss, {"embedding_spread": spread(a)}, torch.cat(features).detach())
