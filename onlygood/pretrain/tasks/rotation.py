"""Rotation: which quarter turn was applied?

(RotNet, Gidaris et al. 2018, arXiv:1803.07728; DROC, Sohn et al. 2021, arXiv:2011.02578.)
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.fixed import turned_views
from onlygood.pretrain.views.geometry import rotations
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.turned import turned_copies
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class RotationConfig(Strict):
    """Views of the image before it is turned; all four turns of each image are in the batch.

    ``layers`` hidden layers of the encoder's width lie before the last one. With ``own_views`` each turn is
    of a view of its own; otherwise all four are of the same one. DROC has 7 layers, and own views.
    """

    views: Views = Field(default_factory=lambda: Views(brightness=0.15, contrast=0.15))
    layers: int = Field(default=0, ge=0)
    own_views: bool = False


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
        hidden = [encoder.dim] * config.layers
        self.view_classifier = mlp(encoder.dim, *hidden, 4) if hidden else nn.Linear(encoder.dim, 4)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``4 B`` turned views."""
        if self.config.own_views:
            turned = turned_copies(images, self.standardize, self.config.views, rng)
        else:
            x = square(random_view(images, self.standardize, self.config.views, rng), rng)
            turned = rotations(x).flatten(0, 1)
        labels = torch.arange(4, device=turned.device).repeat_interleave(len(images))
        features = self.encoder(turned)
        logits = self.view_classifier(features)
        loss = functional.cross_entropy(logits.float(), labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())
