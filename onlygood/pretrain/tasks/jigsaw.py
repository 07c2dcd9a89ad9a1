"""Jigsaw: in which of K orders do the tiles lie? (Noroozi & Favaro 2016, arXiv:1603.09246)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.puzzles import PuzzleConfig, Solver
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import cut_tiles, drop_colors, standardize_tiles
from onlygood.pretrain.views.views import Standardize, random_view


class JigsawConfig(PuzzleConfig):
    """The puzzle, and what is done about the color fringes of lenses, which tell a tile's place."""

    colours: Literal["drop", "shift", "keep"] = "drop"  # "shift" is the paper's, and hides fringes in part
    channel_shift: int = Field(default=2, ge=0)  # px, with "shift"


class JigsawTask(Task):
    """The context-free network: tiles pass the encoder one by one and meet only in the classifier.

    Each tile is standardized by itself, random gaps separate the tiles, and their colors are dropped.
    Otherwise lighting, continued edges and the color fringes of lenses would tell their places.
    """

    config: JigsawConfig

    def __init__(self, encoder: Encoder, config: JigsawConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        self.solver = Solver(encoder.dim, config)
        self.classes = self.solver.classes

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``B · puzzles`` puzzles."""
        config = self.config
        x = random_view(images, self.standardize, config.views, rng)
        shift = config.channel_shift if config.colours == "shift" else 0
        tiles = cut_tiles(x, config.grid, config.tile, config.jitter, rng, channel_shift=shift)
        tiles = standardize_tiles(tiles)
        if config.colours == "drop":
            tiles = drop_colors(tiles, rng)
        features = self.encoder(tiles.flatten(0, 1))
        puzzles, labels = self.solver.shuffle(features.unflatten(0, tiles.shape[:2]), config.puzzles, rng)
        logits = self.solver.head(puzzles.flatten(0, 1))
        loss = functional.cross_entropy(logits.float(), labels.flatten())
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels.flatten())}, features.detach())
