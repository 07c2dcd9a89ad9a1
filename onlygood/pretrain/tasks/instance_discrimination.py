"""Instance discrimination: every image is its own class, known by its last embeddings (Wu et al. 2018)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import instance_contrast
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.bank import MemoryBank
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Output, Task
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class InstanceDiscriminationConfig(Strict):
    """The paper's; up to ``negatives`` images the softmax is over all images, beyond it is estimated."""

    views: Views = Field(default_factory=crop_and_color)
    temperature: float = Field(default=0.07, gt=0)
    projection: int = Field(default=128, ge=2)
    negatives: int = Field(default=4096, ge=1)
    momentum: float = Field(default=0.5, ge=0, lt=1)  # of the memory


class InstanceDiscriminationTask(Task):
    """One view an image: it must find its own row in a memory of all ``images``.

    With many images by noise-contrastive estimation.
    """

    config: InstanceDiscriminationConfig

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

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> Output:
        """Cross entropy, or its noise-contrastive estimate; then the memory takes the new embeddings."""
        x = random_view(images, self.standardize, self.config.views, rng)
        features = self.encoder(x)
        z = functional.normalize(self.projector(features).float(), dim=1)
        loss = self.contrast(z, ids, rng)
        self.bank.update(ids, z.detach())
        return Output(loss, {"embedding_spread": spread(z)}, features.detach())

    def contrast(self, z: Tensor, ids: Tensor, rng: torch.Generator) -> Tensor:
        """How well embeddings ``z`` ``(B, D)`` find their images' rows in the memory."""
        return instance_contrast(
            z,
            self.bank.rows,
            ids,
            rng,
            temperature=self.config.temperature,
            negatives=self.config.negatives,
            sampled="noise",
        )
