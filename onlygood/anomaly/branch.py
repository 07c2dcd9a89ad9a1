"""A branch of a detector: what is looked at, what is read of it, and the head that scores it."""

import torch
from torch import Tensor, nn

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.footing import Footing
from onlygood.anomaly.heads.outputs import Kind, Outputs
from onlygood.anomaly.heads.registry import create_head
from onlygood.anomaly.layers import Layers
from onlygood.anomaly.recipe import BranchConfig, FeaturesConfig
from onlygood.anomaly.regions import Cells, Tiles, create_regions
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.errors import OnlygoodError


class Branch(nn.Module):
    """Standardized images ``(N, C, H, W)``, shrunk as it wants them, to region scores ``(N, R)``.

    What is shown is the task's choice (test views), how it is cut is that of the regions, what is read that
    of the layers, and the head says which of all that it needs.

    Where only a part of the image counts, ``inside`` ``(H, W)``, regions of which less than half lies in it
    are left out: of the head's outputs, of the scores and of the heatmap.

    Raises:
        OnlygoodError: these cannot be had together: of this encoder, this task, this size of image.
    """

    kept: Tensor

    def __init__(
        self, task: Task, config: BranchConfig, height: int, width: int, inside: Tensor | None = None
    ) -> None:
        super().__init__()
        if height % config.shrink or width % config.shrink:
            raise OnlygoodError(
                f"an image of {height}×{width} cannot be shrunk {config.shrink} times exactly"
            )
        self.task = task
        self.classifier = nn.Identity() if task.view_classifier is None else task.view_classifier
        self.shrink = config.shrink
        self.scores, self.shows = config.use != "heatmap", config.use != "score"
        self.last = Layers(task.encoder, FeaturesConfig())
        self.layers = Layers(_encoder(task, config.features), config.features)
        self.same = self.layers.last_only and self.layers.average == 1 and not config.features.untrained
        self.size = (height // config.shrink, width // config.shrink)
        self.regions = create_regions(config.regions, *self.size, self.layers)
        self.projector = _projector(task) if config.features.projected else None
        self.head: Head = create_head(config.head, _width(self.projector, self.layers.dim), task)
        self.views = task.test_views
        if not (self.head.all_views or "logits" in self.head.reads):
            self.views = self.views.first()
        if isinstance(self.regions, Cells) and not self.views.keep_places:
            raise OnlygoodError(
                "cells cannot follow views that shift or enlarge the image: use tiles or whole"
            )
        self.numbers = (
            None if inside is None else self.regions.lying_in(inside[None, None].float(), config.shrink)
        )
        self.count = self.regions.count if self.numbers is None else len(self.numbers)
        self.register_buffer("kept", torch.tensor(self.numbers or [], dtype=torch.long), persistent=False)
        self.top = min(config.pool.top, self.count)
        self.footing = Footing()

    def pixels(self) -> int:
        """How many pixels of one image go through the encoder."""
        height, width = self.size
        tiles = (
            self.regions.size**2 * self.regions.count if isinstance(self.regions, Tiles) else height * width
        )
        return tiles * self.views.count

    def outputs(self, x: Tensor) -> Outputs:
        """What the head reads of standardized and shrunk images."""
        reads, regions = self.head.reads, self.regions
        found: dict[Kind, Tensor] = {}
        plain = None
        if "logits" in reads:
            plain = regions.encode(x, self.last, self.views)
            found["logits"] = _apply(self.classifier, plain)
        if "features" in reads:
            views = self.views if self.head.all_views else self.views.first()
            features = plain if plain is not None and self.same else regions.encode(x, self.layers, views)
            features = features[:, :, : views.count]
            found["features"] = features if self.projector is None else _apply(self.projector, features)
        if "pixels" in reads:
            found["pixels"] = regions.cut(x)
        if "restored" in reads:
            found["restored"] = regions.dense(x, self.task.restore)
        if "dense" in reads:
            found["dense"] = regions.dense(x, self.task.locate)[:, :, 0]
        if self.numbers is not None:
            found = {name: value.index_select(1, self.kept) for name, value in found.items()}
        return Outputs(**found, grid=regions.grid, kept=self.numbers)

    def forward(self, x: Tensor) -> Tensor:
        """Standardized and shrunk images to region scores ``(N, R)``."""
        scores: Tensor = self.head(self.outputs(x))
        return scores

    def heatmap(self, scores: Tensor) -> Tensor:
        """Region scores ``(N, R)`` to a map ``(N, h, w)``; what does not count has the lowest score."""
        if self.numbers is None:
            return self.regions.heatmap(scores)
        return self.regions.partial_heatmap(scores, self.kept)

    def pool(self, scores: Tensor) -> Tensor:
        """Scores of regions ``(N, R)`` to scores of images ``(N,)``: the mean of the ``top`` highest."""
        return scores.topk(self.top, dim=1).values.mean(dim=1)


def _apply(network: nn.Module, features: Tensor) -> Tensor:
    """A network of ``(N, D)`` on ``(N, R, K, D)``."""
    return network(features.flatten(0, 2)).reshape(*features.shape[:3], -1)  # type: ignore[no-any-return]


def _encoder(task: Task, features: FeaturesConfig) -> Encoder:
    trained = task.encoder
    if not features.untrained:
        return trained
    device = next(trained.parameters()).device
    return create_encoder(trained.name, trained.channels).to(device)


def _projector(task: Task) -> nn.Module:
    if task.projector is None:
        raise OnlygoodError(
            "features.projected needs a pretext task with a projector, such as simclr, moco or vicreg"
        )
    return task.projector


def _width(projector: nn.Module | None, dim: int) -> int:
    """The width of the features that the head gets."""
    if projector is None:
        return dim
    training = projector.training
    projector.eval()
    with torch.no_grad():
        width = projector(next(projector.parameters()).new_zeros(1, dim)).shape[1]
    projector.train(training)
    return int(width)
