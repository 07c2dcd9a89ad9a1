"""GOAD: the copies of one transform lie around their own center (Bergman & Hoshen 2020, arXiv:2005.02359)."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.losses.triplet import center_triplet
from onlygood.pretrain.tasks.base import TaskOutput
from onlygood.pretrain.tasks.geometric import GeometricConfig, GeometricTask
from onlygood.pretrain.views.geometry import transform


class GOADConfig(GeometricConfig):
    """Geometric's, but each batch holds the same ``copies`` transforms of all images.

    ``margin`` is that of the triplets of centers, ``triplet`` their weight beside the cross entropy, and
    ``shrink`` that of the mean square of the features; all as the authors' code has them for images.
    """

    margin: float = Field(default=1.0, gt=0)
    triplet: float = Field(default=0.1, ge=0)
    shrink: float = Field(default=10.0, ge=0)


class GOADTask(GeometricTask):
    """Cross entropy over the transforms and triplets of centers, on the features themselves.

    The paper takes all 72 transforms of 4 images in a batch. Here some transforms of more images are taken,
    for the sake of batch norms and of centers, which are means over the batch.
    """

    config: GOADConfig

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Weighted sum of the metrics ``cross_entropy``, ``triplet`` and ``square``."""
        x = self._views(images, rng)
        classes = len(self.transforms)
        copies = max(2, min(self.config.copies or classes, classes))
        labels = torch.randperm(classes, generator=rng, device=x.device)[:copies].repeat(len(x))
        features = self.encoder(transform(x.repeat_interleave(copies, dim=0), self.transforms[labels]))
        logits = self.view_classifier(features)
        terms = {
            "cross_entropy": functional.cross_entropy(logits.float(), labels),
            "triplet": center_triplet(features.view(len(x), copies, -1), self.config.margin),
            "square": features.float().square().mean(),
        }
        weights = {"cross_entropy": 1.0, "triplet": self.config.triplet, "square": self.config.shrink}
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        metrics = {name: term.detach() for name, term in terms.items()}
        return TaskOutput(loss, metrics | {"accuracy": accuracy(logits, labels)}, features.detach())
