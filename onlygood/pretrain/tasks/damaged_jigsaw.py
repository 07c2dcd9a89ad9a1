"""Damaged jigsaw: order gray tiles, paint a lost one, color the rest (Kim et al. 2018, arXiv:1802.01880)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder, up_convolutions
from onlygood.pretrain.networks.puzzles import PuzzleConfig, Solver
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.color import (
    STRIDE,
    as_rows,
    gamut_bins,
    soft_cross_entropy,
    soft_encode,
    srgb_to_lab,
)
from onlygood.pretrain.views.patches import cut_tiles, standardize_tiles
from onlygood.pretrain.views.views import Standardize, normal, random_view, unit_view

PAINTED = 16  # px: side at which the lost tile is painted


class DamagedJigsawConfig(PuzzleConfig):
    """The puzzle, as in ``jigsaw``, and the weights of the two other losses."""

    inpainting: float = Field(default=1.0, gt=0)
    colorization: float = Field(default=0.2, gt=0)


class DamagedJigsawTask(Task):
    """Three tasks on one pass of the tiles: order them, paint the lost one, color the others.

    The encoder sees lightness only, so there are no color fringes to hide, and noise in place of the lost
    tile. Gray images are not colored.
    """

    config: DamagedJigsawConfig
    older_names: ClassVar = {"colourist": "colorizer"}
    bins: Tensor

    def __init__(
        self, encoder: Encoder, config: DamagedJigsawConfig, standardize: Standardize = "image"
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.solver = Solver(encoder.dim, config)
        self.classes = self.solver.classes
        self.painter = nn.Sequential(
            nn.Linear(self.solver.width, 64 * 16), nn.Unflatten(1, (64, 4, 4)), up_convolutions(64, 1, 2)
        )
        self.register_buffer("bins", gamut_bins())
        self.colorizer = Decoder(encoder, len(self.bins), STRIDE) if encoder.channels == 3 else None

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Three losses, weighted; all are metrics: ``cross_entropy``, ``inpainting``, ``colorization``."""
        tiles, colors = self._tiles(images, rng)
        batch, count = tiles.shape[:2]
        lost = torch.randint(count, (batch, 1), generator=rng, device=rng.device)
        damaged = lost == torch.arange(count, device=tiles.device)
        shown = torch.where(damaged[..., None, None, None], normal(tuple(tiles.shape), 0.0, 1.0, rng), tiles)
        maps = self.encoder.stages(shown.flatten(0, 1).expand(-1, self.encoder.channels, -1, -1))[-1]
        features = maps.mean(dim=(2, 3))
        puzzles, labels = self.solver.shuffle(features.view(batch, count, -1), self.config.puzzles, rng)
        logits = self.solver.head(puzzles.flatten(0, 1))
        loss = functional.cross_entropy(logits.float(), labels.flatten())
        metrics = {"accuracy": accuracy(logits, labels.flatten()), "cross_entropy": loss.detach()}

        wanted = functional.interpolate(tiles[damaged], (PAINTED, PAINTED), mode="bilinear", antialias=True)
        painting = functional.mse_loss(self.painter(puzzles[:, 0]).float(), wanted)
        metrics["inpainting"] = painting.detach()
        loss = loss + self.config.inpainting * painting
        if self.colorizer is not None:
            coloring = self._color(self.colorizer, maps[~damaged.flatten()], colors[~damaged])
            metrics["colorization"] = coloring.detach()
            loss = loss + self.config.colorization * coloring
        return TaskOutput(loss, metrics, features.detach())

    def _tiles(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Standardized lightness ``(B, T, 1, s, s)``, and ab ``(B, T, 2, s, s)``; gray images have no ab."""
        config = self.config
        if images.shape[1] == 3:
            lab = srgb_to_lab(unit_view(images, config.views, rng))
            x = torch.cat([lab[:, :1] / 25 - 2, lab[:, 1:]], dim=1)  # lightness from -2 to 2, as "fixed"
        else:
            x = random_view(images, self.standardize, config.views, rng)
        tiles = cut_tiles(x, config.grid, config.tile, config.jitter, rng)
        return standardize_tiles(tiles[:, :, :1]), tiles[:, :, 1:]

    def _color(self, colorizer: Decoder, maps: Tensor, colors: Tensor) -> Tensor:
        """Soft cross entropy of ab bins of tiles: ``maps`` ``(N, D, h, w)``, ``colors`` ``(N, 2, s, s)``."""
        ab = functional.avg_pool2d(colors, STRIDE, ceil_mode=True)
        index, weight = soft_encode(as_rows(ab), self.bins)
        logits = as_rows(colorizer(maps, (ab.shape[2], ab.shape[3])))
        return soft_cross_entropy(logits, index, weight).mean()
