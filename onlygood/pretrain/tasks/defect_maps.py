"""Defect maps: where, at each of two scales, do defects show that were painted into this view?

After the discriminator of DRAEM (Zavrtanik et al. 2021, arXiv:2108.07610) and the labels of NSA (Schlüter et
al. 2022, arXiv:2109.15222), with masks of our own. Pieces of other images, as NSA blends them in, made
detectors of surfaces worse: a change of texture into texture is great at every pixel, and looks good.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.networks.pyramid import Pyramid
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.defects import Mixture, spoil
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict

_FIRST = 1  # the finest stage that is read: the second
_WINDOW = 64  # px of the windows that are classified


class DefectMapsConfig(Strict):
    """Views, what is painted into them, and what of it counts as a defect.

    ``half`` is the share of views at half scale. A change counts by how much it shows: one of ``middle``
    deviations of the image is half a defect, and ``slope`` says how steeply that rises.
    """

    views: Views = Field(default_factory=lambda: Views(crop=128, flip_vertical=True))
    half: float = Field(default=0.25, ge=0, le=1)
    clean: float = Field(default=1 / 3, gt=0, lt=1)  # share of views without a defect
    mixture: Mixture = Field(default_factory=Mixture)
    middle: float = Field(default=0.25, gt=0)
    slope: float = Field(default=16.0, gt=0)


class DefectMapsTask(Task):
    """A feature pyramid says every few px whether a defect shows there, and a classifier whether in a window.

    Labels say what shows, not what was painted: to be asked for what cannot be seen teaches an encoder to
    take good texture for defects.
    """

    config: DefectMapsConfig
    locates: ClassVar = True
    classes = 2
    view_classifier: nn.Module

    def __init__(
        self, encoder: Encoder, config: DefectMapsConfig, standardize: Standardize = "image"
    ) -> None:
        super().__init__(encoder, config, standardize)
        if not encoder.stride or len(encoder.stage_dims) <= _FIRST + 1:
            raise OnlygoodError(
                f"encoder {encoder.name!r} has no maps of several sizes; use 'small' or a ResNet"
            )
        self.view_classifier = mlp(encoder.dim, encoder.dim, 2, norm=False)
        self.pyramid = Pyramid(encoder.stage_dims[_FIRST:], 1)

    def locate(self, x: Tensor) -> Tensor:
        """Logits ``(N, 1, h, w)``, one for each place of the second stage, of standardized images."""
        logits: Tensor = self.pyramid(self.encoder.stages(x)[_FIRST:])
        return logits

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Twice the binary cross entropy of the map, plus that of windows, both with soft labels."""
        config = self.config
        x = self._views(images, rng)
        clean = max(1, round(config.clean * len(x)))
        spoiled = spoil(x[clean:], config.mixture, rng)
        labels = torch.cat([torch.zeros_like(x[:clean, :1]), self._labels(spoiled - x[clean:])])
        stages = self.encoder.stages(torch.cat([x[:clean], spoiled]))
        logits = self.pyramid(stages[_FIRST:]).float()
        labels = functional.adaptive_max_pool2d(labels, logits.shape[2:])
        local = functional.binary_cross_entropy_with_logits(logits, labels)
        classified = self._classified(stages[-1])
        seen = functional.adaptive_max_pool2d(labels, stages[-1].shape[2:])
        seen = _windows(seen, functional.max_pool2d, self.encoder.stride).flatten()
        loss = functional.cross_entropy(classified, torch.stack([1 - seen, seen], dim=1))
        metrics = {"cross_entropy": loss.detach(), "cells": local.detach()}
        metrics["accuracy"] = accuracy(classified, (seen > 0.5).long())
        return TaskOutput(loss + 2 * local, metrics, stages[-1].detach().mean(dim=(2, 3)))

    def _views(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Views in random order, some of them at half scale, if images are large enough for that."""
        views, side = self.config.views, min(images.shape[2:])
        crop = min(views.crop or side, side)
        small = round(self.config.half * len(images)) if side >= 1.5 * crop else 0
        x = random_view(images[small:], self.standardize, views, rng)
        if small:
            wide = min(2 * crop, side) // 2 * 2
            far = random_view(images[:small], self.standardize, views.model_copy(update={"crop": wide}), rng)
            missing = crop - wide // 2
            far = functional.pad(functional.avg_pool2d(far, 2), (0, missing, 0, missing), mode="reflect")
            x = torch.cat([far, x])
        return x[torch.randperm(len(x), generator=rng, device=x.device)]

    def _labels(self, change: Tensor) -> Tensor:
        """How much of a defect a change ``(N, C, H, W)`` is at each pixel, ``(N, 1, H, W)`` from 0 to 1.

        Its mean over 3×3 px counts; no change is no defect at all.
        """
        change = functional.avg_pool2d(change.abs().mean(dim=1, keepdim=True), 3, 1, 1)
        shown = torch.sigmoid(self.config.slope * (change - self.config.middle))
        return torch.where(change > self.config.middle / 10, shown, 0.0)

    def _classified(self, maps: Tensor) -> Tensor:
        """Logits ``(M, 2)`` of the windows of all views, view by view."""
        means = _windows(maps, functional.avg_pool2d, self.encoder.stride)
        logits: Tensor = self.view_classifier(means.flatten(2).transpose(1, 2).flatten(0, 1))
        return logits.float()


def _windows(maps: Tensor, pool: Callable[[Tensor, int, int], Tensor], stride: int) -> Tensor:
    """Windows of 64 px every 32 px of maps ``(N, D, h, w)`` with a value every ``stride`` px, pooled."""
    size = min(max(1, _WINDOW // stride), *maps.shape[2:])  # views may be smaller
    return pool(maps, size, max(1, size // 2))
