"""PIRL: an image and its shuffled patches agree (Misra & van der Maaten 2020, arXiv:1912.01991)."""

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
from onlygood.pretrain.views.views import (
    Standardize,
    Views,
    random_crop,
    random_flip,
    random_resized_crop,
    random_view,
    recolor,
    to_float,
)
from onlygood.runtime.strict import Strict

_SMALLEST_CELL = 16  # px; smaller images are enlarged, because encoders halve the side several times


class PIRLConfig(Strict):
    """The paper's; for images below 64 px take a ``grid`` of 2. ``patch`` is a share of a cell's side.

    ``views`` vary the image; their colors also vary each patch on its own. ``jigsaw`` weighs the patches'
    loss against the image's. With at most ``negatives`` images, all others are negatives.
    """

    views: Views = Field(default_factory=crop_and_color)
    grid: int = Field(default=3, ge=2, le=4)
    patch: float = Field(default=0.75, gt=0.5, le=1)
    puzzle_scale: tuple[float, float] = (0.6, 1.0)  # of the area that is cut into patches
    jigsaw: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=0.07, gt=0)
    projection: int = Field(default=128, ge=2)
    negatives: int = Field(default=4096, ge=1)
    momentum: float = Field(default=0.5, ge=0, lt=1)  # of the memory


class PIRLTask(Task):
    """The image and its patches must both find the image's row in a memory; only the image writes it."""

    config: PIRLConfig
    projector: nn.Module

    def __init__(
        self, encoder: Encoder, config: PIRLConfig, standardize: Standardize = "fixed", *, images: int
    ) -> None:
        super().__init__(encoder, config, standardize)
        width = config.projection
        self.projector = nn.Linear(encoder.dim, width)
        self.patch_projector = nn.Linear(encoder.dim, width)
        self.joiner = nn.Linear(config.grid**2 * width, width)
        self.bank = MemoryBank(images, width, config.momentum)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """The weighted sum of the contrasts of patches and image with the memory, which are metrics too."""
        patches = self.shuffled_patches(images, rng)
        parts = self.patch_projector(self.encoder(patches.flatten(0, 1)))
        joined = self.joiner(parts.view(len(images), -1))
        features = self.encoder(random_view(images, self.standardize, self.config.views, rng))
        image = functional.normalize(self.projector(features).float(), dim=1)
        puzzle = functional.normalize(joined.float(), dim=1)
        terms = [self._contrast(z, ids, rng) for z in (puzzle, image)]
        self.bank.update(ids, image.detach())
        loss = self.config.jigsaw * terms[0] + (1 - self.config.jigsaw) * terms[1]
        names = ("patches", "image")
        metrics = {name: term.detach() for name, term in zip(names, terms, strict=True)}
        return TaskOutput(loss, {**metrics, "embedding_spread": spread(image)}, features.detach())

    def shuffled_patches(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Patches ``(B, grid², C, p, p)`` of one crop of each image, in an order of its own.

        Each patch lies at a random place in its cell, so no edge continues from one patch into the next.
        """
        x, grid, batch = to_float(images, self.standardize), self.config.grid, len(images)
        cell = max(min(x.shape[2:]) // grid, _SMALLEST_CELL)
        x = random_resized_crop(x, grid * cell, self.config.puzzle_scale, rng)
        if self.config.views.flip:
            x = random_flip(x, 3, rng)
        cells = x.unfold(2, cell, cell).unfold(3, cell, cell).permute(0, 2, 3, 1, 4, 5)
        patches = random_crop(cells.reshape(-1, x.shape[1], cell, cell), round(self.config.patch * cell), rng)
        patches = recolor(patches, self.config.views, rng).view(batch, grid**2, *patches.shape[1:])
        order = torch.rand(batch, grid**2, generator=rng, device=rng.device).argsort(dim=1)
        return patches[torch.arange(batch, device=x.device)[:, None], order]

    def _contrast(self, z: Tensor, ids: Tensor, rng: torch.Generator) -> Tensor:
        config, rows = self.config, self.bank.rows
        return instance_contrast(
            z, rows, ids, rng, temperature=config.temperature, negatives=config.negatives, sampled="softmax"
        )
