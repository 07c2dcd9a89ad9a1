"""Synthetic defects: is this view clean, or has a soft-masked defect been painted into it?

After CutPaste (Li et al. 2021, arXiv:2104.04015) and NSA (Schlüter et al. 2022, arXiv:2109.15222), with masks
of our own, which `pretrain/views/defects.py` draws.
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
from onlygood.pretrain.views.defects import paste_defects
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class DefectsConfig(Strict):
    """Views into which the defects are painted."""

    views: Views = Field(
        default_factory=lambda: Views(crop=64, flip_vertical=True, brightness=0.15, contrast=0.15)
    )


class DefectsTask(Task):
    """Clean (class 0) against defective (class 1); half of each batch gets one defect.

    A small defect is lost in the average over a view, and its gradient with it. So each cell of the last map
    must also tell whether the defect touches it.
    """

    config: DefectsConfig
    locates: ClassVar = True
    classes = 2
    view_classifier: nn.Module
    older_names: ClassVar = {"classifier": "view_classifier"}

    def __init__(self, encoder: Encoder, config: DefectsConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        self.view_classifier = mlp(encoder.dim, encoder.dim, 2, norm=False)
        self.locator = nn.Conv2d(encoder.dim, 1, 1)

    def locate(self, x: Tensor) -> Tensor:
        """Logits ``(N, 1, h, w)``, one for each place of the encoder's last map, of standardized images."""
        logits: Tensor = self.locator(self.encoder.stages(x)[-1])
        return logits

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of clean against defective views, plus that of touched against untouched cells."""
        x = random_view(images, self.standardize, self.config.views, rng)
        half = x.shape[0] // 2
        defective, masks = paste_defects(x[half:], rng)
        labels = (torch.arange(x.shape[0], device=x.device) >= half).long()
        maps = self.encoder.stages(torch.cat([x[:half], defective]))[-1]
        features = maps.mean(dim=(2, 3))
        logits = self.view_classifier(features)
        touched = functional.adaptive_max_pool2d(masks, maps.shape[2:]) > 0.5
        cells = torch.cat([torch.zeros_like(touched[:1]).expand(half, -1, -1), touched]).float()
        loss = functional.cross_entropy(logits.float(), labels)
        local = functional.binary_cross_entropy_with_logits(self.locator(maps)[:, 0].float(), cells)
        metrics = {"cross_entropy": loss.detach(), "cells": local.detach()}
        metrics["accuracy"] = accuracy(logits, labels)
        return TaskOutput(loss + local, metrics, features.detach())
