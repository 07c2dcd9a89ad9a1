"""Colorization: the colors of a gray picture, as classes (Zhang et al. 2016, arXiv:1603.08511)."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.color import (
    STRIDE,
    as_rows,
    gamut_bins,
    rebalancing_weights,
    soft_cross_entropy,
    soft_encode,
    srgb_to_lab,
)
from onlygood.pretrain.views.views import Standardize, Views, to_float, unit_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict

GRAY = 5.0  # images whose a and b all stay below this have no color to learn from


def gray_view(lab: Tensor, channels: int, standardize: Standardize) -> Tensor:
    """Lightness alone, standardized as an image is, and repeated for each input channel of the encoder."""
    lightness = (lab[:, :1] * 2.55).round().to(torch.uint8)
    return to_float(lightness, standardize).expand(-1, channels, -1, -1)


class ColorizationConfig(Strict):
    """Views, the soft targets, and how far rare colors are favored."""

    views: Views = Field(default_factory=Views)
    neighbours: int = Field(default=5, ge=1, le=50)  # bins of a soft target
    uniform: float = Field(default=0.5, gt=0, le=1)  # mixed into the prior; 1 favors no color


class ColorizationTask(Task):
    """Lightness in, the ab bin of every fourth pixel out; rare colors weigh more.

    The prior of the colors is counted during training. The encoder never sees a color, so as a detector it is
    blind to color, except for what luminance tells of it.

    Raises:
        OnlygoodError: the images are gray.
    """

    config: ColorizationConfig
    bins: Tensor
    counts: Tensor

    def __init__(
        self, encoder: Encoder, config: ColorizationConfig, standardize: Standardize = "fixed"
    ) -> None:
        super().__init__(encoder, config, standardize)
        if encoder.channels != 3:
            raise OnlygoodError("colorization learns from colors and these images are gray; use another task")
        self.register_buffer("bins", gamut_bins())
        self.register_buffer("counts", torch.zeros(len(self.bins)))
        self.decoder = Decoder(encoder, len(self.bins), STRIDE)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Weighted soft cross entropy, averaged over the pixels of images that are not gray."""
        lab = srgb_to_lab(unit_view(images, self.config.views, rng))
        ab = functional.avg_pool2d(lab[:, 1:], STRIDE, ceil_mode=True)
        index, target = soft_encode(as_rows(ab), self.bins, self.config.neighbours)
        colored = (lab[:, 1:].abs().amax(dim=(1, 2, 3)) > GRAY).float()
        colored = colored.repeat_interleave(ab.shape[2] * ab.shape[3])
        counts = self.counts + torch.zeros_like(self.counts).index_add_(0, index[:, 0], colored)
        if not counts.any():
            raise OnlygoodError(
                f"colorization learns from colors, and all of the first {len(images)} images are gray; "
                "use another task"
            )
        if self.training:
            self.counts.copy_(counts)
        weights = rebalancing_weights(counts / counts.sum(), self.bins, self.config.uniform)

        maps = self.encoder.stages(gray_view(lab, self.encoder.channels, self.standardize))[-1]
        logits = as_rows(self.decoder(maps, (ab.shape[2], ab.shape[3])))
        errors = soft_cross_entropy(logits, index, target) * weights[index[:, 0]] * colored
        loss = errors.sum() / colored.sum().clamp(min=1)
        return TaskOutput(loss, {}, maps.detach().mean(dim=(2, 3)))
