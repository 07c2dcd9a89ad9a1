"""Exemplar: which image's patch is this, however distorted? (Dosovitskiy et al. 2014, arXiv:1406.6909)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.exemplar import ExemplarViews, choose_seeds, exemplar_view
from onlygood.pretrain.views.patches import SMALLEST
from onlygood.pretrain.views.views import Standardize, to_float
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict


class ExemplarConfig(Strict):
    """How large a patch stands for its image, and how it is distorted.

    ``patch`` is a share of the image's shorter side. The paper cuts 32 px out of 96 px. Images of 32 px are
    like its patches already, so by default a patch shows most of the image, with room to move.
    """

    patch: float = Field(default=0.75, gt=0, le=1)
    views: ExemplarViews = Field(default_factory=ExemplarViews)


class ExemplarTask(Task):
    """Every image gives one patch, and all distortions of that patch are one class; cross entropy.

    Patches lie where the image has structure, more likely where it has more, and they stay there: a patch is
    a function of the image and of one number per image that is drawn with the weights. (So all processes of a
    training agree on it.) The classifier has a row for each image: for more than some ten thousand images,
    take `exemplar-triplet`.
    """

    config: ExemplarConfig
    draws: Tensor
    seeds: Tensor

    def __init__(
        self, encoder: Encoder, config: ExemplarConfig, standardize: Standardize = "fixed", *, images: int
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.classes = images
        self.surrogate_classifier = nn.Linear(encoder.dim, images)
        self.register_buffer("draws", torch.rand(images))
        self.register_buffer("seeds", torch.full((images, 2), -1))  # row and column; -1: not chosen yet

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of one distorted patch of each image, over all ``images`` classes."""
        side = round(self.config.patch * min(images.shape[2:]))
        if side < SMALLEST:
            raise OnlygoodError(
                f"patches of {side} px show nothing; use larger images or an option `patch` above "
                f"{self.config.patch:g}"
            )
        self._choose_seeds(images, ids, side)
        samples = exemplar_view(images, self.seeds[ids], side, self.config.views, rng)
        features = self.encoder(to_float(samples, self.standardize))
        logits = self.surrogate_classifier(features).float()
        loss = functional.cross_entropy(logits, ids)
        return TaskOutput(loss, {"accuracy": accuracy(logits, ids)}, features.detach())

    @torch.no_grad()
    def _choose_seeds(self, images: Tensor, ids: Tensor, side: int) -> None:
        """Choose the patches of images that are seen for the first time."""
        new = self.seeds[ids, 0] < 0
        if new.any():
            self.seeds[ids[new]] = choose_seeds(images[new], side, self.draws[ids[new]])
