"""CutPaste 3-way: clean, pasted patch or pasted scar? (Li et al. 2021, arXiv:2104.04015)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.defects import cut_paste
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class CutPasteConfig(Strict):
    """Views of the image before the paste."""

    views: Views = Field(default_factory=lambda: Views(brightness=0.1, contrast=0.1))


class CutPasteTask(Task):
    """Every view three times in the batch: as it is (class 0), with a patch (1), with a scar (2)."""

    config: CutPasteConfig
    classes = 3
    view_classifier: nn.Module
    older_names: ClassVar = {"classifier": "view_classifier"}

    def __init__(self, encoder: Encoder, config: CutPasteConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        self.view_classifier = mlp(encoder.dim, encoder.dim, 3, norm=False)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of the ``3 B`` versions."""
        x = random_view(images, self.standardize, self.config.views, rng)
        versions = torch.cat([x, cut_paste(x, rng, scar=False), cut_paste(x, rng, scar=True)])
        labels = torch.arange(3, device=x.device).repeat_interleave(x.shape[0])
        features = self.encoder(versions)
        logits = self.view_classifier(features)
        loss = functional.cross_entropy(logits.float(), labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())
