"""Rotation: which quarter turn was applied? (RotNet, Gidaris et al. 2018, arXiv:1803.07728)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.fixed import turned_views
from onlygood.pretrain.views.geometry import rotations
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class RotationConfig(Strict):
    """Views of the image before it is turned; all four turns of each view are in the batch."""

    views: Views = Field(default_factory=lambda: Views(brightness=0.15, contrast=0.15))


class RotationTask(Task):
    """All four rotations of each image in one batch; cross entropy over the four.

    Images are cut square before they are turned: the shape of a turned oblong would tell the angle.
    """

    config: RotationConfig
    classes = 4
    view_classifier: nn.Module
    older_names: ClassVar = {"classifier": "view_classifier"}

    def __init__(self, encoder: Encoder, config: RotationConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.test_views = turned_views()
        self.view_classifier = nn.Linear(encoder.dim, 4)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``4 B`` turned views."""
        x = square(random_view(images, self.standardize, self.config.views, rng), rng)
        turned = rotations(x).flatten(0, 1)
        labels = torch.arange(4, device=x.device).repeat_interleave(x.shape[0])
        features = self.encoder(turned)
        logits = self.view_classifier(features)
        loss = functional.cross_entropy(logits.float(), labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())
