"""Denoising autoencoder: the clean view from a corrupted one (Vincent et al. 2008, 2010)."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, normal, random_view, uniform
from onlygood.runtime.strict import Strict


def mask_pixels(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """``(B, C, H, W)`` with a random ``share`` of the pixels, all channels of each, set to 0, the mean."""
    kept = uniform((x.shape[0], 1, *x.shape[2:]), 0, 1, rng) >= share
    return x * kept


class DenoisingConfig(Strict):
    """Views, and how they are corrupted."""

    views: Views = Field(default_factory=Views)
    corruption: Literal["masking", "gaussian", "none"] = "masking"
    share: float = Field(default=0.25, gt=0, lt=1)  # of pixels, with "masking"
    sigma: float = Field(default=0.3, gt=0)  # with "gaussian", in standardized units


class DenoisingTask(Task):
    """A convolutional denoising autoencoder; without corruption, a plain one."""

    config: DenoisingConfig
    restores: ClassVar = True

    def __init__(self, encoder: Encoder, config: DenoisingConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.decoder = Decoder(encoder, encoder.channels)

    def restore(self, x: Tensor) -> Tensor:
        """Standardized images ``(N, C, H, W)`` as the decoder paints them."""
        restored: Tensor = self.decoder(self.encoder.stages(x)[-1], x.shape[2:])
        return restored

    def _corrupt(self, x: Tensor, rng: torch.Generator) -> Tensor:
        match self.config.corruption:
            case "masking":
                return mask_pixels(x, self.config.share, rng)
            case "gaussian":
                return x + normal(tuple(x.shape), 0.0, self.config.sigma, rng)
            case "none":
                return x

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Mean squared error over all standardized pixels of the clean views."""
        x = random_view(images, self.standardize, self.config.views, rng)
        maps = self.encoder.stages(self._corrupt(x, rng))[-1]
        restored = self.decoder(maps, x.shape[2:])
        loss = functional.mse_loss(restored.float(), x)
        return TaskOutput(loss, {}, maps.detach().mean(dim=(2, 3)))
