"""The detector in torch, which is exported: one or several branches over one encoder."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.branch import Branch
from onlygood.anomaly.heads.footing import join
from onlygood.anomaly.heads.joins import Join
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.recipe import BranchConfig, Recipe
from onlygood.pretrain.networks.base import maps_kept
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.views.views import to_float

_BATCH_PIXELS = 4_000_000  # pixels that go through the encoder at once while fitting


class Detector(nn.Module):
    """Scores images with the encoder that a pretext task has trained.

    The scores of one branch are its own. Those of several are put on one footing and joined; so are their
    heatmaps, at the finest of their grids, each of the branches that are used for it. With ``top``, the score
    is the mean of the ``top`` highest places of the joined map of all branches that are used for it: what
    several see at one place then counts for more than what each sees elsewhere. Where only ``inside``
    ``(H, W)`` of the images counts, the rest takes its mean color, so that nothing there can change a score.
    """

    inside: Tensor | None

    def __init__(
        self,
        task: Task,
        branches: Sequence[BranchConfig],
        height: int,
        width: int,
        how: Join = "mean",
        *,
        top: int | None = None,
        inside: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder = task.encoder
        self.standardize = task.standardize
        self.register_buffer("inside", inside)
        self.branches = nn.ModuleList(Branch(task, branch, height, width, inside) for branch in branches)
        self.how: Join = how
        self.top = top

    def every_branch(self) -> list[Branch]:
        """The branches, typed."""
        return list(self.branches)  # type: ignore[arg-type]

    def prepared(self, images: Tensor) -> Tensor:
        """uint8 ``(N, C, H, W)`` as the encoder sees them."""
        if self.inside is not None:
            count = int(self.inside.sum())
            total = (images * self.inside).sum(dim=(2, 3), keepdim=True, dtype=torch.int64)
            mean = torch.div(total, count, rounding_mode="floor").to(torch.uint8)
            images = torch.where(self.inside, images, mean)
        return to_float(images, self.standardize)

    def outputs(self, x: Tensor) -> list[Outputs]:
        """What the head of each branch reads of standardized images ``(N, C, H, W)``."""
        branches = self.every_branch()
        sizes = {branch.shrink for branch in branches}
        at = {shrink: functional.avg_pool2d(x, shrink) if shrink > 1 else x for shrink in sizes}
        with maps_kept(self.encoder):
            return [branch.outputs(at[branch.shrink]) for branch in branches]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 ``(N, H, W, C)`` to scores ``(N,)`` and heatmaps ``(N, h, w)``; higher is more anomalous."""
        x = self.prepared(images.permute(0, 3, 1, 2))
        branches = self.every_branch()
        outputs = self.outputs(x)
        if len(branches) == 1:
            scores = branches[0].head(outputs[0])
            return branches[0].pool(scores), branches[0].heatmap(scores)
        regions = [branch.head(output) for branch, output in zip(branches, outputs, strict=True)]
        maps = self._maps(regions)
        heatmaps = join([maps[number] for number, branch in enumerate(branches) if branch.shows], self.how)
        if self.top is not None:
            places = join([maps[number] for number, branch in enumerate(branches) if branch.scores], self.how)
            top = min(self.top, places.shape[1] * places.shape[2])
            return places.flatten(1).topk(top, dim=1).values.mean(dim=1), heatmaps
        images_scores = [
            branch.footing(branch.pool(scores), self.how)
            for branch, scores in zip(branches, regions, strict=True)
            if branch.scores
        ]
        return join(images_scores, self.how), heatmaps

    def _maps(self, regions: list[Tensor]) -> dict[int, Tensor]:
        """Maps ``(N, h, w)`` of the branches that need one, by number: all of one size, on one footing."""
        maps = {
            number: branch.heatmap(scores)
            for number, (branch, scores) in enumerate(zip(self.every_branch(), regions, strict=True))
            if branch.shows or self.top is not None
        }
        finest = max((tuple(each.shape[1:]) for each in maps.values()), key=math.prod)
        return {
            number: self.every_branch()[number].footing(_enlarged(each, finest), self.how)
            for number, each in maps.items()
        }

    def batch_size(self) -> int:
        """How many images can be looked at at once in bounded memory."""
        return max(1, _BATCH_PIXELS // sum(branch.pixels() for branch in self.every_branch()))


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps ``(N, h, w)`` at another size."""
    return functional.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def create_detector(
    recipe: Recipe, task: Task, height: int, width: int, inside: NDArray[np.bool_] | None = None
) -> Detector:
    """An unfitted detector, on the device of the task.

    Raises:
        OnlygoodError: what the recipe joins does not fit together.
    """
    area = None if inside is None else torch.from_numpy(inside)
    top = recipe.pool_joined.top if recipe.pool_joined else None
    detector = Detector(task, recipe.all_branches(), height, width, recipe.join, top=top, inside=area)
    return detector.to(next(task.parameters()).device).eval()
