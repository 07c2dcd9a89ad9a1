"""Relative location: in which direction is the second patch? (Doersch et al. 2015, arXiv:1505.05192)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import cut_tiles, drop_colors, standardize_tiles
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class RelativeLocationConfig(Strict):
    """The 3×3 patches of one view; with ``views.crop``, the grid is laid anywhere in the image."""

    views: Views = Field(default_factory=lambda: Views(flip=False))
    patch: float = Field(default=0.67, gt=0, le=1)  # side, in cells: the paper's 96 px of 144
    jitter: float = Field(default=0.3, ge=0, le=1)  # share of the gaps in which patches move: 7 px of 24
    colours: Literal["drop", "keep"] = "drop"
    hidden: int = Field(default=256, ge=2)


class RelativeLocationTask(Task):
    """The middle patch with each of its eight neighbors; cross entropy over the eight directions.

    All nine patches pass the encoder once. Gaps and jitter hide continued edges, standardizing each patch
    hides lighting, and dropping colors hides the color fringes of lenses.
    """

    config: RelativeLocationConfig
    classes = 8

    def __init__(
        self, encoder: Encoder, config: RelativeLocationConfig, standardize: Standardize = "image"
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.head = mlp(2 * encoder.dim, config.hidden, 8)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``8 B`` pairs (middle, neighbor); directions count row by row."""
        config = self.config
        x = random_view(images, self.standardize, config.views, rng)
        patches = standardize_tiles(cut_tiles(x, 3, config.patch, config.jitter, rng))
        if config.colours == "drop":
            patches = drop_colors(patches, rng)
        features = self.encoder(patches.flatten(0, 1))
        each = features.unflatten(0, patches.shape[:2])
        neighbors = torch.cat([each[:, :4], each[:, 5:]], dim=1)
        pairs = torch.cat([each[:, 4:5].expand_as(neighbors), neighbors], dim=2)
        labels = torch.arange(8, device=pairs.device).repeat(len(images))
        logits = self.head(pairs.flatten(0, 1))
        loss = functional.cross_entropy(logits.float(), labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())
