"""Video triplets: a track's two ends are nearer than other tracks' (Wang & Gupta 2015, arXiv:1505.00687)."""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.measures import cosines, spread
from onlygood.pretrain.losses.triplet import (
    hardest_negatives,
    random_negatives,
    triplet_terms,
)
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import halves, left_square
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class VideoTripletConfig(Strict):
    """The paper's margin and number of negatives; ``switch`` is the share of training with random ones.

    The paper projects to 4096 and then to 1024 dimensions, and switches after 150 000 steps.
    """

    views: Views = Field(default_factory=lambda: Views(scale=(0.6, 1.0), brightness=0.2, contrast=0.2))
    projection: int = Field(default=128, ge=2)
    margin: float = Field(default=0.5, gt=0, le=2)
    negatives: int = Field(default=4, ge=1)  # of each track; all others, where a batch has fewer
    switch: float = Field(default=0.4, ge=0, le=1)


class VideoTripletTask(Task):
    """An image is a track: its first patch on the left, its last on the right, each as wide as high.

    Negatives are the last patches of the batch's other tracks: first random ones, then the hardest, so the
    loss jumps at the switch. The metric ``triplets`` does not jump: it is the mean over all negatives.
    """

    config: VideoTripletConfig
    projector: nn.Module

    def __init__(
        self, encoder: Encoder, config: VideoTripletConfig, standardize: Standardize = "fixed"
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(encoder.dim, encoder.dim, config.projection, bias_last=False)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Mean hinge of ``negatives`` triplets of each track.

        Raises:
            OnlygoodError: the images are no tracks.
        """
        config = self.config
        pair = halves(images, "video-triplet takes tracks, the first and the last patch of each")
        views = [random_view(half, self.standardize, config.views, rng) for half in pair]
        features = self.encoder(torch.cat(views))
        first, last = self.projector(features).chunk(2)
        others = ids[:, None] != ids  # small sets fill a batch with some tracks twice
        terms = triplet_terms(1 - cosines(first, last), config.margin)
        if self.progress < config.switch:
            loss = random_negatives(terms, others, config.negatives, rng)
        else:
            loss = hardest_negatives(terms, others, config.negatives)
        triplets = (terms.detach() * others).sum() / others.sum().clamp(min=1)
        return TaskOutput(loss, {"triplets": triplets, "embedding_spread": spread(last)}, features.detach())

    def embed(self, images: Tensor) -> Tensor:
        """Features ``(B, D)`` of tracks' first patches, or of plain images as they are."""
        return super().embed(left_square(images))
