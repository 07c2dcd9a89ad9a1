"""Geometric: which flip, shift and turn was applied? (GEOM, Golan & El-Yaniv 2018, arXiv:1805.10917)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.fixed import geometric_views
from onlygood.pretrain.views.geometry import geometric_transforms, transform
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict


class GeometricConfig(Strict):
    """Any product of flips, shifts by ``shift`` px and quarter turns; the defaults are GEOM-72 at 32 px.

    Each batch holds ``copies`` transforms of each image, drawn without replacement; None takes all, as the
    paper does.
    """

    flips: bool = True
    shift: int = Field(default=8, ge=0)
    turns: bool = True
    copies: int | None = Field(default=8, ge=1)
    views: Views = Field(default_factory=lambda: Views(flip=False))


class GeometricTask(Task):
    """Cross entropy over the transforms; class 0 is the image as it is.

    Images are cut square before they are turned: the shape of a turned oblong would tell the angle. A shift
    fills what it uncovers by reflection, as in the paper; the seam is part of what there is to see.
    """

    config: GeometricConfig
    view_classifier: nn.Module
    older_names: ClassVar = {"classifier": "view_classifier"}
    transforms: Tensor

    def __init__(self, encoder: Encoder, config: GeometricConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        transforms = geometric_transforms(flips=config.flips, shift=config.shift, turns=config.turns)
        self.classes = len(transforms)
        if self.classes < 2:
            raise OnlygoodError("the task needs flips, a shift or turns: without any there is one class")
        self.register_buffer("transforms", transforms, persistent=False)
        self.test_views = geometric_views(flips=config.flips, shift=config.shift, turns=config.turns)
        self.view_classifier = self._classifier(encoder.dim)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``copies × B`` transformed views."""
        x = self._views(images, rng)
        classes = len(self.transforms)
        copies = min(self.config.copies or classes, classes)
        chosen = torch.rand(x.shape[0], classes, generator=rng, device=x.device).argsort(dim=1)[:, :copies]
        labels = chosen.flatten()
        features = self.encoder(transform(x.repeat_interleave(copies, dim=0), self.transforms[labels]))
        logits = self.view_classifier(features)
        loss = functional.cross_entropy(logits.float(), labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())

    def _classifier(self, dim: int) -> nn.Module:
        """Maps features ``(..., D)`` to logits ``(..., K)`` of the transforms."""
        return nn.Linear(dim, len(self.transforms))

    def _views(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Square views ``(B, C, S, S)``, before they are transformed."""
        x = square(random_view(images, self.standardize, self.config.views, rng), rng)
        if self.config.shift >= x.shape[2]:
            raise OnlygoodError(
                f"a shift of {self.config.shift} px leaves nothing of views of {x.shape[2]} px"
            )
        return x
