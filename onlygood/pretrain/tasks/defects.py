"""Synthetic defects: is this view clean, or has a soft-masked defect been painted into it?

In the line of CutPaste (Li et al. 2021) and NSA (Schlüter et al. 2022), with masks of our own (`pretrain/defects.py`).
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.deploy.runtime.strict import Strict
from onlygood.pretrain.defects import paste_defects
from onlygood.pretrain.encoders import Encoder
from onlygood.pretrain.losses import accuracy
from onlygood.pretrain.tasks.base import Output, Task
from onlygood.pretrain.views import Standardize, Views, random_view, to_float


class DefectsConfig(Strict):
    """Views into which the defects are painted."""

    views: Views = Field(
        default_factory=lambda: Views(crop=64, flip_vertical=True, brightness=0.15, contrast=0.15)
    )


class DefectsTask(Task):
    """Clean (class 0) against defective (class 1); half of each batch gets one defect."""

    classes = 2

    def __init__(self, encoder: Encoder, config: DefectsConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, standardize)
        self.config = config
        self.classifier = nn.Sequential(
            nn.Linear(encoder.dim, encoder.dim), nn.ReLU(inplace=True), nn.Linear(encoder.dim, 2)
        )

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> Output:
        """Cross entropy of clean against defective views."""
        x = random_view(to_float(images, self.standardize), self.config.views, rng)
        half = x.shape[0] // 2
        defective, _ = paste_defects(x[half:], rng)
        labels = (torch.arange(x.shape[0], device=x.device) >= half).long()
        features = self.encoder(torch.cat([x[:half], defective]))
        logits = self.classifier(features)
        loss = functional.cross_entropy(logits.float(), labels)
        return Output(loss, {"accuracy": accuracy(logits, labels)}, features.detach())
