"""Instance discrimination: every image is its own class (Wu et al. 2018, arXiv:1805.01978)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import instance_contrast
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.bank import MemoryBank
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class InstanceDiscriminationConfig(Strict):
    """The paper's values. With more images than ``negatives``, the softmax over all images is estimated."""

    views: Views = Field(default_factory=crop_and_color)
    temperature: float = Field(default=0.07, gt=0)
    projection: int = Field(default=128, ge=2)
    negatives: int = Field(default=4096, ge=1)
    momentum: float = Field(default=0.5, ge=0, lt=1)  # of the memory


class InstanceDiscriminationTask(Task):
    """One view of each image must find the image's own row in a memory of all ``images``.

    Row i is a mean of the last embeddings of image i. With many images, the loss is a noise-contrastive
    estimate.
    """

    config: InstanceDiscriminationConfig
    projector: nn.Module

    def __init__(
        self,
        encoder: Encoder,
        config: InstanceDiscriminationConfig,
        standardize: Standardize = "fixed",
        *,
        images: int,
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = nn.Linear(encoder.dim, config.projection)
        self.bank = MemoryBank(images, config.projection, config.momentum)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy, or its noise-contrastive estimate; then the memory takes the new embeddings."""
        x = random_view(images, self.standardize, self.config.views, rng)
        features = self.encoder(x)
        z = functional.normalize(self.projector(features).float(), dim=1)
        loss = self.contrast(z, ids, rng)
        self.bank.update(ids, z.detach())
        return TaskOutput(loss, {"embedding_spread": spread(z)}, features.detach())

    def contrast(self, z: Tensor, ids: Tensor, rng: torch.Generator) -> Tensor:
        """How well embeddings ``z`` ``(B, D)`` find their images' rows in the memory."""
        config, rows = self.config, self.bank.rows
        return instance_contrast(
            z, rows, ids, rng, temperature=config.temperature, negatives=config.negatives, sampled="noise"
        )
