"""Puzzles of an image's tiles: how they are cut, and the network that tells their orders apart."""

from math import factorial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.views.permutations import distant_permutations
from onlygood.pretrain.views.views import Views
from onlygood.runtime.strict import Strict


class PuzzleConfig(Strict):
    """The puzzle and the network that solves it; ``views`` are of the whole picture."""

    views: Views = Field(default_factory=lambda: Views(flip=False))
    grid: Literal[2, 3] = 3
    permutations: int = Field(default=100, ge=2)  # orders to tell apart; at most 24 of a 2×2 grid
    tile: float = Field(default=0.75, gt=0, le=1)  # side, in cells
    jitter: float = Field(default=1.0, ge=0, le=1)  # share of the gaps in which tiles move
    puzzles: int = Field(default=8, ge=1)  # orders of each image that share one pass of its tiles
    tile_features: int = Field(default=128, ge=2)
    hidden: int = Field(default=512, ge=2)


class Solver(nn.Module):
    """Puts the features of one image's tiles into random orders, and tells the orders apart."""

    permutations: Tensor

    def __init__(self, dim: int, config: PuzzleConfig) -> None:
        super().__init__()
        tiles = config.grid**2
        self.classes = min(config.permutations, factorial(tiles))
        orders = torch.from_numpy(distant_permutations(self.classes, tiles).copy())
        self.register_buffer("permutations", orders)
        self.width = tiles * config.tile_features
        self.tile_head = nn.Sequential(nn.Linear(dim, config.tile_features), nn.ReLU(inplace=True))
        self.head = mlp(self.width, config.hidden, self.classes)

    def shuffle(self, features: Tensor, puzzles: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Puzzles ``(B, P, T·F)`` of tiles ``(B, T, D)``, and the number of each one's order ``(B, P)``.

        Place ``i`` of a puzzle of order ``k`` shows tile ``permutations[k][i]``.
        """
        batch, tiles = features.shape[:2]
        each = self.tile_head(features.flatten(0, 1)).unflatten(0, (batch, tiles))
        labels = torch.randint(self.classes, (batch, puzzles), generator=rng, device=rng.device)
        image = torch.arange(batch, device=labels.device)[:, None, None]
        return each[image, self.permutations[labels]].flatten(2), labels
