"""SimCLR: two views of one image attract, all others repel.

(Chen et al. 2020, arXiv:2002.05709; version 2: Chen et al. 2020, arXiv:2006.10029.)
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.contrastive import nt_xent
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class SimCLRConfig(Strict):
    """Views, temperature, and depth and width of the projection; SimCLR v2 has a third layer."""

    views: Views = Field(default_factory=crop_and_color)
    temperature: float = Field(default=0.5, gt=0)
    layers: int = Field(default=2, ge=2)
    projection: int = Field(default=128, ge=2)


class SimCLRTask(Task):
    """NT-Xent of projected views. The features for detectors are those before the projection."""

    config: SimCLRConfig
    projector: nn.Module

    def __init__(self, encoder: Encoder, config: SimCLRConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(*[encoder.dim] * config.layers, config.projection)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """NT-Xent over the ``2 B`` views."""
        views = torch.cat([random_view(images, self.standardize, self.config.views, rng) for _ in range(2)])
        features = self.encoder(views)
        a, b = self.projector(features).chunk(2)
        return TaskOutput(nt_xent(a, b, self.config.temperature), {}, features.detach())
