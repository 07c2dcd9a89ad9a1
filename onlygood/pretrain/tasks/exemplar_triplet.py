"""Exemplar with triplets: views of one image lie nearer together than to other images'.

The form of Exemplar for many images (Kolesnikov et al. 2019, arXiv:1901.09005, after Doersch & Zisserman
2017, arXiv:1708.07860).
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.losses.triplet import semi_hard_triplet
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, as_image, random_view
from onlygood.runtime.strict import Strict


def inception_and_gray() -> Views:
    """Crops and colors about as strong as Inception's; two views of three have no color."""
    return Views(scale=(0.2, 1.0), brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2, gray=0.66)


class ExemplarTripletConfig(Strict):
    """The paper's, with smaller embeddings. Each image of a batch is seen ``crops`` times a step."""

    views: Views = Field(default_factory=inception_and_gray)
    crops: int = Field(default=8, ge=2)
    margin: float = Field(default=0.5, gt=0)  # of squared distances between embeddings of length 1
    projection: int = Field(default=128, ge=2)


class ExemplarTripletTask(Task):
    """Semi-hard triplets of ``crops`` views of each image. A loss that stays at the margin has collapsed.

    By default each view is standardized by itself. Each view of an image is gray or colored by its own draw.
    In the paper's code all views of an image are gray or none is, which tells some images apart.
    """

    config: ExemplarTripletConfig
    projector: nn.Module

    def __init__(
        self, encoder: Encoder, config: ExemplarTripletConfig, standardize: Standardize = "image"
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = nn.Linear(encoder.dim, config.projection)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """The triplet loss of ``B · crops`` views; those of one image are one class."""
        crops = self.config.crops
        each = self.standardize == "image"
        drawn = "fixed" if each else self.standardize
        views = torch.cat([random_view(images, drawn, self.config.views, rng) for _ in range(crops)])
        features = self.encoder(as_image(views) if each else views)
        z = self.projector(features)
        loss = semi_hard_triplet(z, ids.repeat(crops), self.config.margin)
        return TaskOutput(loss, {"embedding_spread": spread(z)}, features.detach())
