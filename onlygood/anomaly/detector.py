"""The detector in torch, which is exported: regions, views, encoder, head."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.regions import Regions, Tiles
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.views.views import to_float

_BATCH_PIXELS = 4_000_000  # pixels that go through the encoder at once while fitting


class Detector(nn.Module):
    """Scores images with the encoder that a pretext task has trained.

    Images are shown under quarter turns if the task is tested under them (``test_views``) and the head reads
    logits. In all other cases K = 1: the encoder sees the image unchanged.
    """

    def __init__(self, task: Task, regions: Regions, head: Head, *, top: int = 1) -> None:
        super().__init__()
        self.encoder = task.encoder
        self.classifier = task.view_classifier
        self.standardize = task.standardize
        self.turns = 4 if task.test_views.count == 4 and head.reads == "logits" else 1
        self.regions = regions
        self.head = head
        self.top = min(top, regions.count)

    def outputs(self, images: Tensor) -> Outputs:
        """uint8 ``(N, C, H, W)`` to the encoder's outputs for every region under every view."""
        x = to_float(images, self.standardize)
        features = torch.stack(
            [self.regions.encode(x, self.encoder, turn) for turn in range(self.turns)], dim=2
        )
        return Outputs(features, self.classifier(features) if self.classifier is not None else None)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 ``(N, H, W, C)`` to scores ``(N,)`` and heatmaps ``(N, h, w)``; higher is more anomalous."""
        scores = self.head(self.outputs(images.permute(0, 3, 1, 2)))
        return self.pool(scores), self.regions.heatmap(scores)

    def pool(self, scores: Tensor) -> Tensor:
        """Scores of regions ``(N, R)`` to scores of images ``(N,)``: the mean of the ``top`` highest."""
        return scores.topk(self.top, dim=1).values.mean(dim=1)

    @torch.no_grad()
    def collect(self, batches: Iterator[Tensor]) -> Outputs:
        """Outputs of many images, on the CPU; ``batches`` are uint8 ``(B, C, H, W)``."""
        parts = [self.outputs(batch) for batch in batches]
        logits = [part.logits.cpu() for part in parts if part.logits is not None]
        return Outputs(
            torch.cat([part.features.cpu() for part in parts]), torch.cat(logits) if logits else None
        )

    def batch_size(self, height: int, width: int) -> int:
        """How many images of this size `collect` can take at once in bounded memory."""
        pixels = height * width
        if isinstance(self.regions, Tiles):
            pixels = self.regions.size**2 * self.regions.count
        return max(1, _BATCH_PIXELS // (pixels * self.turns))
