"""Denoising autoencoder: the clean view from a corrupted one (Vincent et al. 2008, 2010)."""

from typing import Literal

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
    corruption: Literal["masking", "gaussian"] = "masking"
    share: float = Field(default=0.25, gt=0, lt=1)  # of pixels, with "masking"
    sigma: float = Field(default=0.3, gt=0)  # with "gaussian", in standardized units


class DenoisingTask(Task):
    """A convolutional denoising autoencoder; the decoder is thrown away."""

    config: DenoisingConfig

    def __init__(self, encoder: Encoder, config: DenoisingConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.decoder = Decoder(encoder, encoder.channels)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Mean squared error over all standardized pixels of the clean views."""
        x = random_view(images, self.standardize, self.config.views, rng)
        if self.config.corruption == "masking":
            corrupted = mask_pixels(x, self.config.share, rng)
        else:
            corrupted = x + normal(tuple(x.shape), 0.0, self.config.sigma, rng)
        maps = self.encoder.stages(corrupted)[-1]
        restored = self.decoder(maps, x.shape[2:])
        loss = functional.mse_loss(restored.float(), x)
        return TaskOutput(loss, {}, maps.detach().mean(dim=(2, 3)))
