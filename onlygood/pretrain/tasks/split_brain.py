"""Split-brain: color from lightness and lightness from color (Zhang et al. 2017, arXiv:1611.09842)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder
from onlygood.pretrain.networks.split import SplitEncoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.color import STRIDE, as_rows, gamut_bins, soft_encode, srgb_to_lab
from onlygood.pretrain.views.views import Standardize, Views, to_float, unit_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict

LEVELS = 100  # classes of lightness


class SplitBrainConfig(Strict):
    """Views of the image before it is split."""

    views: Views = Field(default_factory=Views)


class SplitBrainTask(Task):
    """Each half of the encoder names what the other half sees, in classes, at every fourth pixel.

    Raises:
        OnlygoodError: the encoder is not split.
    """

    config: SplitBrainConfig
    encoder: SplitEncoder
    older_names: ClassVar = {"to_colour": "to_color"}
    bins: Tensor

    def __init__(
        self, encoder: Encoder, config: SplitBrainConfig, standardize: Standardize = "fixed"
    ) -> None:
        super().__init__(encoder, config, standardize)
        if not isinstance(encoder, SplitEncoder):
            raise OnlygoodError(
                f"the task 'split-brain' needs the encoder 'split-small', not {encoder.name!r}"
            )
        self.register_buffer("bins", gamut_bins())
        self.to_color = Decoder(encoder, len(self.bins), STRIDE, encoder.light_dim)
        self.to_light = Decoder(encoder, LEVELS, STRIDE, encoder.dim - encoder.light_dim)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """The sum of the two cross entropies; no color weighs more than another."""
        rgb = unit_view(images, self.config.views, rng)
        lab = functional.avg_pool2d(srgb_to_lab(rgb), STRIDE, ceil_mode=True)
        size = (lab.shape[2], lab.shape[3])
        colors, _ = soft_encode(as_rows(lab[:, 1:]), self.bins, 1)
        levels = (lab[:, 0] * (LEVELS / 100)).long().clamp(0, LEVELS - 1)
        maps = self.encoder.stages(to_float((rgb * 255).round().to(torch.uint8), self.standardize))[-1]
        light, color = maps.tensor_split([self.encoder.light_dim], dim=1)
        a = functional.cross_entropy(self.to_color(light, size).float(), colors.view(-1, *size))
        b = functional.cross_entropy(self.to_light(color, size).float(), levels)
        metrics = {"colour": a.detach(), "light": b.detach()}
        return TaskOutput(a + b, metrics, maps.detach().mean(dim=(2, 3)))
