"""DRAEM: restore the image, then tell from both where it was changed.

(Zavrtanik et al. 2021, arXiv:2108.07610.)
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.focal import focal
from onlygood.pretrain.losses.ssim import ssim
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder
from onlygood.pretrain.networks.discriminator import discriminator
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.textures import paste_textures
from onlygood.pretrain.views.views import Standardize, Views, black_white, random_view
from onlygood.runtime.strict import Strict

_STRIDE = 4  # px between logits


class DRAEMConfig(Strict):
    """Views, and what is pasted into them."""

    views: Views = Field(default_factory=lambda: Views(flip=False))
    share: float = Field(default=0.5, gt=0, le=1)  # of images that get a texture
    threshold: float = Field(default=0.5, ge=0, lt=1)  # textures show where Perlin noise is above it
    gamma: float = Field(default=2.0, ge=0)  # of the focal loss


class DRAEMTask(Task):
    """The encoder and a decoder restore; a small network compares the image with its restoration.

    Other than in the paper: textures are other images of the batch, turned, resized and recolored, where the
    paper takes photographs of textures. Cells of the noise have any direction and are 4 px or larger. Clean
    images are not turned by up to 45 degrees. The networks are smaller; the second has no skips, and its
    logits are 4 px apart. The squared error is that of standardized images.
    """

    config: DRAEMConfig
    restores: ClassVar = True
    locates: ClassVar = True

    def __init__(self, encoder: Encoder, config: DRAEMConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.decoder = Decoder(encoder, encoder.channels)
        self.discriminator = discriminator(2 * encoder.channels)

    def restore(self, x: Tensor) -> Tensor:
        """Standardized images ``(N, C, H, W)`` without what does not belong there."""
        restored: Tensor = self.decoder(self.encoder.stages(x)[-1], x.shape[2:])
        return restored

    def locate(self, x: Tensor) -> Tensor:
        """Logits ``(N, 1, H/4, W/4)``, rounded up, of standardized images."""
        logits: Tensor = self.discriminator(torch.cat([x, self.restore(x)], dim=1))
        return logits

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Squared error and 1 - SSIM of the restoration, and the focal loss of the logits, added up.

        The label of a logit is whether a texture touches its 4×4 px.
        """
        config = self.config
        x = random_view(images, self.standardize, config.views, rng)
        black, white = black_white(images, self.standardize)
        pasted, masks = paste_textures(x, black, white, rng, threshold=config.threshold, share=config.share)
        maps = self.encoder.stages(pasted)[-1]
        restored = self.decoder(maps, x.shape[2:])
        logits = self.discriminator(torch.cat([pasted, restored], dim=1))[:, 0]
        error = functional.mse_loss(restored.float(), x)
        unlike = 1 - ssim(restored, x).mean()
        labels = functional.max_pool2d(masks, _STRIDE, ceil_mode=True)
        found = focal(logits, labels, config.gamma)
        metrics = {"restoration": error.detach(), "unlike": unlike.detach(), "focal": found.detach()}
        return TaskOutput(error + unlike + found, metrics, maps.detach().mean(dim=(2, 3)))
