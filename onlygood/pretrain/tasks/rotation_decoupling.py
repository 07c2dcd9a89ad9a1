"""Rotation feature decoupling: half of the features tell the turn, half know none (Feng et al. 2019)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy, spread
from onlygood.pretrain.losses.pu import doubt_weights, non_negative_pu
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import TaskOutput
from onlygood.pretrain.tasks.instance_discrimination import (
    InstanceDiscriminationConfig,
    InstanceDiscriminationTask,
)
from onlygood.pretrain.views.fixed import turned_views
from onlygood.pretrain.views.geometry import rotations
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import Standardize, Views, random_view


class RotationDecouplingConfig(InstanceDiscriminationConfig):
    """Instance discrimination's, and how turned copies that look upright lose weight.

    ``prior`` is the share of images that look upright however they are turned. After the share ``switch`` of
    training, a copy that looks upright with probability p weighs ``1 - p^gamma``.
    """

    views: Views = Field(default_factory=lambda: Views(scale=(0.5, 1.0), brightness=0.15, contrast=0.15))
    prior: float = Field(default=0.2, gt=0, lt=1)
    gamma: float = Field(default=2.0, gt=0)
    switch: float = Field(default=0.85, ge=0, le=1)


class FirstFeatures(nn.Module):
    """A linear layer on the first ``width`` of the features ``(..., D)``."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(width, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """``(..., D)`` to ``(..., outputs)``."""
        logits: Tensor = self.linear(features[..., : self.width])
        return logits


class LastFeatures(nn.Linear):
    """A linear layer on the last ``in_features`` of the features ``(..., D)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``(..., D)`` to ``(..., out_features)``."""
        return super().forward(input[..., -self.in_features :])


class RotationDecouplingTask(InstanceDiscriminationTask):
    """All four turns of each image: the first half of the features tells them apart.

    The second half is the same for all turns, and its mean finds the image's row in a memory. In the paper, a
    network trained before tells which copies look upright. Here a layer on the first half learns it during
    training, from upright images and turned copies, and gives the encoder no gradient.
    """

    config: RotationDecouplingConfig
    view_classifier: FirstFeatures
    projector: LastFeatures
    older_names: ClassVar = {"classifier": "view_classifier"}

    def __init__(
        self,
        encoder: Encoder,
        config: RotationDecouplingConfig,
        standardize: Standardize = "fixed",
        *,
        images: int,
    ) -> None:
        super().__init__(encoder, config, standardize, images=images)
        half = encoder.dim // 2
        self.test_views = turned_views()
        self.view_classifier = FirstFeatures(half, 4)
        self.upright = FirstFeatures(half, 1)
        self.projector = LastFeatures(encoder.dim - half, config.projection)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Sum of the losses ``rotation``, ``invariance``, ``instance`` and ``upright``, all of them metrics.

        ``looks_upright`` is the mean probability of turned copies.
        """
        x = square(random_view(images, self.standardize, self.config.views, rng), rng)
        features = self.encoder(rotations(x).flatten(0, 1))
        labels = torch.arange(4, device=x.device).repeat_interleave(len(x))
        logits = self.view_classifier(features)
        upright = self.upright(features.detach()).view(4, -1)

        weights = self._weights(upright.detach())
        rotation = functional.cross_entropy(logits.float(), labels, reduction="none")
        same = features[:, self.view_classifier.width :].float().view(4, len(x), -1)
        mean = same.mean(dim=0)
        z = functional.normalize(self.projector(mean).float(), dim=1)
        terms = {
            "rotation": (weights.flatten() * rotation).mean(),
            "invariance": (same - mean).square().mean(),
            "instance": self.contrast(z, ids, rng),
            "upright": non_negative_pu(upright[0], upright[1:].flatten(), self.config.prior),
        }
        self.bank.update(ids, z.detach())
        metrics = {name: term.detach() for name, term in terms.items()}
        metrics["rotation_accuracy"] = accuracy(logits, labels)
        metrics["looks_upright"] = upright[1:].detach().float().sigmoid().mean()
        metrics["embedding_spread"] = spread(z)
        return TaskOutput(torch.stack(list(terms.values())).sum(), metrics, features.detach())

    def _weights(self, upright: Tensor) -> Tensor:
        """Weights ``(4, B)`` of copies with logits ``upright`` ``(4, B)``; those of the first row are 1."""
        doubted = doubt_weights(upright.float().sigmoid(), self.config.gamma)
        doubted[0] = 1
        return torch.where(self.progress >= self.config.switch, doubted, torch.ones_like(doubted))
