"""Contrast in which turned copies of an image are other images (DROC, Sohn et al. 2021, arXiv:2011.02578)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import instance_cross_entropy
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_much_color
from onlygood.pretrain.views.turned import turned_copies
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class ContrastiveDAConfig(Strict):
    """Views, temperature, hidden layers (of the encoder's width) and width of the projection.

    Without ``turns`` each image is one instance; with them it is four. DROC has 8 layers and learns at 0.01;
    at 0.05 so many stay at chance for long.
    """

    views: Views = Field(default_factory=crop_and_much_color)
    turns: bool = True
    temperature: float = Field(default=0.2, gt=0)
    layers: int = Field(default=2, ge=0)
    projection: int = Field(default=128, ge=2)


class ContrastiveDATask(Task):
    """Each first view must find its partner among all second views; not the other way round.

    Views are drawn before they are turned. In the paper a flip follows the turn, which makes a view of a
    quarter turn look like one of its negatives.
    """

    config: ContrastiveDAConfig
    projector: nn.Module

    def __init__(
        self, encoder: Encoder, config: ContrastiveDAConfig, standardize: Standardize = "fixed"
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(*[encoder.dim] * (config.layers + 1), config.projection)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``4 B`` first views over as many second ones, or of ``B``."""
        view = turned_copies if self.config.turns else random_view
        views = [view(images, self.standardize, self.config.views, rng) for _ in range(2)]
        features = self.encoder(torch.cat(views))
        z = functional.normalize(self.projector(features).float(), dim=1)
        first, second = z.chunk(2)
        partners = torch.arange(len(first), device=z.device)
        loss = instance_cross_entropy(first, second, partners, self.config.temperature)
        return TaskOutput(loss, {"embedding_spread": spread(z)}, features.detach())
