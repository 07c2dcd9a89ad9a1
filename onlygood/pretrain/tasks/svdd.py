"""Deep SVDD, a task that pulls good images to a center (Ruff et al. 2018); the distance from it is a head."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, random_crop, random_view, to_float
from onlygood.runtime.strict import Strict

GUARD = 0.1  # least distance of each coordinate of the center from zero


class SVDDConfig(Strict):
    """Objective and views; ``nu`` is the share of good images that a soft boundary leaves outside."""

    objective: Literal["one-class", "soft-boundary"] = "one-class"
    nu: float = Field(default=0.1, gt=0, lt=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)  # share of training before the radius moves
    views: Views = Field(default_factory=lambda: Views(flip=False))


def svdd_loss(distance: Tensor, radius: Tensor, nu: float, objective: str) -> Tensor:
    """From squared distances ``(N,)``: their mean, or ``R² + 1/nu · mean(max(0, d - R²))``."""
    if objective == "one-class":
        return distance.mean()
    return radius**2 + (distance - radius**2).clamp(min=0).mean() / nu


def guarded(center: Tensor) -> Tensor:
    """The center ``(D,)`` with no coordinate nearer to zero than GUARD: zero weights must not reach it."""
    away = torch.where(center < 0, -GUARD, GUARD)
    return torch.where(center.abs() < GUARD, away, center)


class SVDDTask(Task):
    """Mean squared distance to the mean feature of the untrained (or pretrained) encoder.

    Use an encoder without biases ("lenet"), or one that another task pretrained and few steps: with biases
    the network can map everything to the center, which the health check reports as collapse.
    """

    config: SVDDConfig
    center: Tensor
    older_names: ClassVar = {"centre": "center", "centred": "centered"}
    radius: Tensor
    centered: Tensor

    def __init__(self, encoder: Encoder, config: SVDDConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        self.register_buffer("center", torch.zeros(encoder.dim))
        self.register_buffer("radius", torch.zeros(()))
        self.register_buffer("centered", torch.zeros((), dtype=torch.bool))

    def embed(self, images: Tensor) -> Tensor:
        """Features of one fixed crop of each image, or of the whole images where training sees those."""
        x = to_float(images, self.standardize)
        crop = self.config.views.crop
        if crop is not None:
            x = random_crop(x, min(crop, *x.shape[2:]), torch.Generator(x.device).manual_seed(0))
        features: Tensor = self.encoder(x)
        return features

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Fix the center, once."""
        if not self.centered:
            self.center.copy_(guarded(embed().mean(dim=0)))
            self.centered.fill_(True)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Objective of one batch; the radius follows the batch's ``1 - nu`` quantile."""
        x = random_view(images, self.standardize, self.config.views, rng)
        features = self.encoder(x).float()
        distance = (features - self.center).square().sum(dim=1)
        if self.config.objective == "soft-boundary" and self.progress >= self.config.warmup:
            self.radius.copy_(torch.quantile(distance.detach().sqrt(), 1 - self.config.nu))
        loss = svdd_loss(distance, self.radius, self.config.nu, self.config.objective)
        return TaskOutput(loss, {"distance": distance.detach().mean()}, features.detach())
