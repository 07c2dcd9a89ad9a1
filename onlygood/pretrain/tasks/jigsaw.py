"""Jigsaw: in which of K orders do the tiles lie? (Noroozi & Favaro 2016)."""

from math import factorial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Output, Task
from onlygood.pretrain.views.patches import cut_tiles, drop_colours, enlarge_tiles, square, standardize_tiles
from onlygood.pretrain.views.permutations import distant_permutations
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class JigsawConfig(Strict):
    """The puzzle and the network that solves it; ``views`` are of the whole picture."""

    views: Views = Field(default_factory=lambda: Views(flip=False))
    grid: Literal[2, 3] = 3
    permutations: int = Field(default=100, ge=2)  # orders to tell apart; at most 24 of a 2×2 grid
    tile: float = Field(default=0.75, gt=0, le=1)  # side, in cells
    jitter: float = Field(default=1.0, ge=0, le=1)  # share of the gaps in which tiles move
    colours: Literal["drop", "shift", "keep"] = "drop"  # "shift" is the paper's, and hides fringes in part
    channel_shift: int = Field(default=2, ge=0)  # px, with "shift"
    puzzles: int = Field(default=8, ge=1)  # orders of each image that share one pass of its tiles
    tile_features: int = Field(default=128, ge=2)
    hidden: int = Field(default=512, ge=2)


class Solver(nn.Module):
    """Puts the features of one image's tiles into random orders, and tells the orders apart."""

    permutations: Tensor

    def __init__(self, dim: int, grid: int, permutations: int, tile_features: int, hidden: int) -> None:
        super().__init__()
        tiles = grid**2
        self.classes = min(permutations, factorial(tiles))
        orders = torch.from_numpy(distant_permutations(self.classes, tiles).copy())
        self.register_buffer("permutations", orders)
        self.width = tiles * tile_features
        self.tile_head = nn.Sequential(nn.Linear(dim, tile_features), nn.ReLU(inplace=True))
        self.head = nn.Sequential(
            nn.Linear(self.width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, self.classes),
        )

    def shuffle(self, features: Tensor, puzzles: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Puzzles ``(B, P, T·F)`` of tiles ``(B, T, D)``, and the number of each one's order ``(B, P)``.

        Place ``i`` of a puzzle of order ``k`` shows tile ``permutations[k][i]``.
        """
        batch, tiles = features.shape[:2]
        each = self.tile_head(features.flatten(0, 1)).unflatten(0, (batch, tiles))
        labels = torch.randint(self.classes, (batch, puzzles), generator=rng, device=rng.device)
        image = torch.arange(batch, device=labels.device)[:, None, None]
        return each[image, self.permutations[labels]].flatten(2), labels


class JigsawTask(Task):
    """The context-free network: tiles pass the encoder one by one and meet in the classifier only.

    Tiles are standardised each by itself and separated by random gaps, and their colours are dropped:
    otherwise lighting, continued edges and the colour fringes of lenses would tell their places.
    """

    config: JigsawConfig

    def __init__(self, encoder: Encoder, config: JigsawConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        self.solver = Solver(
            encoder.dim, config.grid, config.permutations, config.tile_features, config.hidden
        )
        self.classes = self.solver.classes

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> Output:
        """Cross entropy of ``B · puzzles`` puzzles."""
        config = self.config
        x = square(random_view(images, self.standardize, config.views, rng), rng)
        shift = config.channel_shift if config.colours == "shift" else 0
        tiles = cut_tiles(x, config.grid, config.tile, config.jitter, rng, channel_shift=shift)
        tiles = standardize_tiles(enlarge_tiles(tiles))
        if config.colours == "drop":
            tiles = drop_colours(tiles, rng)
        features = self.encoder(tiles.flatten(0, 1))
        puzzles, labels = self.solver.shuffle(features.unflatten(0, tiles.shape[:2]), config.puzzles, rng)
        logits = self.solver.head(puzzles.flatten(0, 1))
        loss = functional.cross_entropy(logits.float(), labels.flatten())
        return Output(loss, {"accuracy": accuracy(logits, labels.flatten())}, features.detach())
