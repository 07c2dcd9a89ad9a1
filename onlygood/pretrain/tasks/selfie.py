"""Selfie: which of the hidden patches belongs here? (Trinh, Luong & Le 2019, arXiv:1906.02940)."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.networks.vit import TransformerBlock
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import cut_tiles, drop_colors, standardize_tiles
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict

_HEAD = 32  # dimensions of an attention head, as in the paper


class SelfieConfig(Strict):
    """How the image is cut, how much of it is hidden, and the network that sums up the rest.

    The paper cuts 32 px into 4×4 patches and 224 px into 7×7, and pools by 3 blocks of 1024 dimensions.
    """

    views: Views = Field(default_factory=lambda: Views(flip=False))
    grid: int = Field(default=4, ge=2, le=16)
    hidden: float = Field(default=0.25, gt=0, lt=1)  # share of the patches; two at least
    tile: float = Field(default=0.75, gt=0, le=1)  # side of a patch, in cells; the paper's has no gaps
    jitter: float = Field(default=1.0, ge=0, le=1)  # share of the gaps in which patches move
    colors: Literal["drop", "keep"] = "drop"
    dim: int = Field(default=128, ge=_HEAD, multiple_of=_HEAD)
    depth: int = Field(default=3, ge=1)


class AttentionPooling(nn.Module):
    """Sums up patches and their places in one vector: a learned token attends to them."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(dim) * 0.02)
        self.blocks = nn.Sequential(*(TransformerBlock(dim, dim // _HEAD) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, L, F)`` to ``(B, F)``; the order of the L does not matter."""
        token = self.token.to(x.dtype).expand(len(x), 1, -1)
        pooled: Tensor = self.norm(self.blocks(torch.cat([token, x], dim=1))[:, 0])
        return pooled


class SelfieTask(Task):
    """Each hidden place must find its patch among all hidden patches of its image.

    The encoder sees patches one by one. The patches that are shown are pooled by attention to the context of
    the image; context and place together ask for a patch, and all hidden patches answer.

    What the paper does otherwise: it adds the place to the context and takes products with the patches. Then
    the context would add the same to all places' scores of a patch and could not tell places apart, so a
    small network joins them here. The paper pretrains the first three stages of a ResNet-50; here all of the
    encoder learns. Gaps, jitter, standardized patches and dropped colors hide continued edges, lighting and
    the color fringes of lenses, of which the paper says nothing.
    """

    config: SelfieConfig

    def __init__(self, encoder: Encoder, config: SelfieConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        patches = config.grid**2
        self.asked = min(max(2, round(config.hidden * patches)), patches - 1)
        self.classes = self.asked
        self.to_context = nn.Linear(encoder.dim, config.dim)
        self.to_answer = nn.Linear(encoder.dim, config.dim)
        self.places = nn.Parameter(torch.randn(patches, config.dim))
        self.pool = AttentionPooling(config.dim, config.depth)
        self.question = mlp(config.dim, config.dim, config.dim)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of the hidden places of ``B`` images, each among as many patches."""
        config = self.config
        x = random_view(images, self.standardize, config.views, rng)
        patches = standardize_tiles(cut_tiles(x, config.grid, config.tile, config.jitter, rng))
        if config.colors == "drop":
            patches = drop_colors(patches, rng)
        features = self.encoder(patches.flatten(0, 1))
        order = torch.rand(patches.shape[:2], generator=rng, device=rng.device).argsort(dim=1)
        hidden, shown = order[:, : self.asked], order[:, self.asked :]
        logits = self._ask(features.unflatten(0, patches.shape[:2]), hidden, shown).flatten(0, 1)
        labels = torch.arange(self.asked, device=logits.device).repeat(len(images))
        loss = functional.cross_entropy(logits, labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())

    def _ask(self, features: Tensor, hidden: Tensor, shown: Tensor) -> Tensor:
        """Scores ``(B, M, M)`` of each hidden place (rows) for each hidden patch, float32.

        ``features`` ``(B, T, D)`` are those of patches row by row; ``hidden`` ``(B, M)`` and ``shown``
        ``(B, T - M)`` are their numbers.
        """
        image = torch.arange(len(features), device=features.device)[:, None]
        context = self.pool(self.to_context(features[image, shown]) + self.places[shown])
        asking = context[:, None] + self.places[hidden]
        questions = self.question(asking.flatten(0, 1)).unflatten(0, hidden.shape)
        answers = self.to_answer(features[image, hidden])
        return torch.einsum("bqf,baf->bqa", questions, answers).float() / math.sqrt(questions.shape[2])
