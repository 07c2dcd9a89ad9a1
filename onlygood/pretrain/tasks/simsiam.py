"""SimSiam: two views predict each other, with a stop-gradient (Chen & He 2021, arXiv:2011.10566)."""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.losses.regression import simsiam
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class SimSiamConfig(Strict):
    """The CIFAR preset (projector of two layers), half as wide; ``bottleneck`` is the predictor's width."""

    views: Views = Field(default_factory=crop_and_color)
    projection: int = Field(default=1024, ge=2)
    bottleneck: int = Field(default=256, ge=2)


class SimSiamTask(Task):
    """One network, no negatives, no slow copy: the stop-gradient keeps the embeddings apart."""

    config: SimSiamConfig
    projector: nn.Module

    def __init__(self, encoder: Encoder, config: SimSiamConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(encoder.dim, config.projection, config.projection, norm_last=True)
        self.predictor = mlp(config.projection, config.bottleneck, config.projection)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Negative cosine of predictions and embeddings: -1 is the least, 0 is that of unrelated ones."""
        views = [random_view(images, self.standardize, self.config.views, rng) for _ in range(2)]
        f1, f2 = (self.encoder(view) for view in views)
        z1, z2 = self.projector(f1), self.projector(f2)
        loss = simsiam(self.predictor(z1), self.predictor(z2), z1, z2)
        return TaskOutput(loss, {"embedding_spread": spread(z1)}, torch.cat([f1, f2]).detach())
