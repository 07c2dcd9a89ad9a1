"""Context encoder: paint what stood in a hole of random shape (Pathak et al. 2016, arXiv:1604.07379).

The loss is the reconstruction loss alone. The adversarial loss makes the paintings sharper; the paper leaves
it out where only features are wanted.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, normal, random_view
from onlygood.runtime.strict import Strict


def random_regions(
    shape: tuple[int, int, int], area: float, smoothness: float, rng: torch.Generator
) -> Tensor:
    """Holes of random smooth outline, all of one ``area``: bool ``(B, 1, H, W)`` for ``shape`` ``(B, H, W)``.

    A hole is the highest part of smooth noise; ``smoothness`` is the size of the noise's hills as a share of
    the shorter side.
    """
    batch, height, width = shape
    hill = max(2, round(smoothness * min(height, width)))
    coarse = normal((batch, 1, height // hill + 2, width // hill + 2), 0.0, 1.0, rng)
    noise = functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False).flatten(1)
    level = noise.topk(max(1, round(area * height * width)), dim=1).values[:, -1:]
    return (noise >= level).view(batch, 1, height, width)


def hole_weights(holes: Tensor, overlap: int, weight: float) -> Tensor:
    """Float ``(B, 1, H, W)``: 1 in the holes, ``weight`` in the ``overlap`` px around them, 0 elsewhere."""
    inside = holes.float()
    near = functional.max_pool2d(inside, 2 * overlap + 1, 1, overlap)
    return inside + weight * (near - inside)


class ContextEncoderConfig(Strict):
    """Views and holes."""

    views: Views = Field(default_factory=Views)
    area: float = Field(default=0.25, gt=0, lt=1)  # share of the view that is missing
    smoothness: float = Field(default=0.25, gt=0, le=1)  # size of the shapes, as a share of the view's side
    overlap: int = Field(default=1, ge=0)  # px around a hole that are painted too
    overlap_weight: float = Field(default=10.0, ge=0)  # so that the painting continues what is there


class ContextEncoderTask(Task):
    """Holes are filled with 0, the mean, and a light decoder paints them; it is thrown away later."""

    config: ContextEncoderConfig

    def __init__(
        self, encoder: Encoder, config: ContextEncoderConfig, standardize: Standardize = "image"
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.decoder = Decoder(encoder, encoder.channels)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Weighted mean squared error; the metric ``hole`` is that of the holes alone."""
        config = self.config
        x = random_view(images, self.standardize, config.views, rng)
        size = (x.shape[2], x.shape[3])
        holes = random_regions((len(x), *size), config.area, config.smoothness, rng)
        maps = self.encoder.stages(x * ~holes)[-1]
        errors = (self.decoder(maps, size).float() - x).square().mean(dim=1, keepdim=True)
        weights = hole_weights(holes, config.overlap, config.overlap_weight)
        loss = (errors * weights).sum() / weights.sum()
        hole = (errors.detach() * holes).sum() / holes.sum()
        return TaskOutput(loss, {"hole": hole}, maps.detach().mean(dim=(2, 3)))
