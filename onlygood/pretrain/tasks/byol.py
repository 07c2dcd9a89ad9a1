"""BYOL: predict a slow copy's embedding of the other view (Grill et al. 2020, arXiv:2006.07733)."""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.losses.regression import cosine_distance
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.ema import ema_copy, ema_update, rising_momentum
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class BYOLConfig(Strict):
    """The CIFAR preset; ``momentum`` rises to 1, and the paper starts at .996 for its 1000 epochs.

    ``other_views`` are those of the second view where it differs (in the paper: less blur).
    """

    views: Views = Field(default_factory=crop_and_color)
    other_views: Views | None = None
    hidden: int = Field(default=1024, ge=2)
    projection: int = Field(default=256, ge=2)
    momentum: float = Field(default=0.99, ge=0, le=1)


class BYOLTask(Task):
    """No negatives: the predictor and the slow target together keep the embeddings apart."""

    config: BYOLConfig
    projector: nn.Module

    def __init__(self, encoder: Encoder, config: BYOLConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        # The predictor's batch norm would undo a shift, so the projector has no bias to learn one.
        self.projector = mlp(encoder.dim, config.hidden, config.projection, bias_last=False)
        self.predictor: nn.Module = mlp(config.projection, config.hidden, config.projection)
        self.target = ema_copy(nn.Sequential(encoder, self.projector))

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Distance of each view's prediction from the target of the other, summed over both directions."""
        kinds = (self.config.views, self.config.other_views or self.config.views)
        views = [random_view(images, self.standardize, kind, rng) for kind in kinds]
        with torch.no_grad():
            targets = [self.target(view) for view in views]
        features = [self.encoder(view) for view in views]
        embeddings = [self.projector(f) for f in features]
        predictions = [self.predictor(z) for z in embeddings]
        loss = cosine_distance(predictions[0], targets[1]) + cosine_distance(predictions[1], targets[0])
        metrics = {"embedding_spread": spread(embeddings[0])}
        return TaskOutput(loss, metrics, torch.cat(features).detach())

    def after_step(self, progress: float) -> None:
        """The target moves towards the trained network, ever more slowly."""
        super().after_step(progress)
        momentum = rising_momentum(self.config.momentum, progress)
        ema_update(self.target, nn.Sequential(self.encoder, self.projector), momentum)
