"""JULE: clusters merge while features learn to tell them apart (Yang et al. 2016, arXiv:1604.03628)."""

import math
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.agglomeration import first_clusters, merge_clusters, neighbor_graph
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.losses.triplet import weighted_triplets
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class JULEConfig(Strict):
    """The paper's graph, and the triplets of its code; ``clusters`` are left at the end of training.

    ``merged`` is the share of clusters that are merged at a time: 0.9 in the paper, and 0.2 for faces.
    """

    views: Views = Field(default_factory=lambda: Views(scale=(0.6, 1.0)))
    clusters: int = Field(default=10, ge=2)
    merged: float = Field(default=0.9, gt=0, lt=1)
    neighbors: int = Field(default=20, ge=1)  # of each image, in the graph
    locality: int = Field(default=5, ge=1)  # clusters that are compared before one of them is merged
    projection: int = Field(default=160, ge=2)
    margin: float = Field(default=0.2, gt=0)
    weight: float = Field(default=1.0, gt=0)  # of distances within a cluster; the code says 1, the paper 2
    negatives: int = Field(default=20, ge=1)  # of each view


class JULETask(Task):
    """Weighted triplets of views, the labels of which are clusters of the embeddings of plain images.

    The first clusters have some three images each: those joined by nearest neighbors. Then training and
    merging take turns. All turns take the same share of the training, so the clusters that were asked for
    are there for the last one, however long it is. ``clusters``, the metric, says how many there are.

    What the paper does otherwise: it begins with clusters of pixels, and its turns are 20 epochs. It has no
    views. Here each image is seen twice, for of random images in a batch hardly two are of one small cluster.
    The paper takes negatives from the nearest clusters, its code from all others, as it is here.
    """

    config: JULEConfig
    projector: nn.Module
    labels: Tensor
    first: Tensor
    turn: Tensor
    count: Tensor

    def __init__(
        self, encoder: Encoder, config: JULEConfig, standardize: Standardize = "fixed", *, images: int
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = nn.Linear(encoder.dim, config.projection)
        self.register_buffer("labels", torch.arange(images))
        self.register_buffer("first", torch.zeros((), dtype=torch.int64))  # clusters at the beginning
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.tensor(images))

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Find the first clusters; merge some where a new turn begins."""
        begun = bool(self.first)
        if begun and (turn := self._due()) == self.turn:
            return
        features = embed()
        if len(features) < 2:
            return
        with torch.no_grad():
            graph = neighbor_graph(
                functional.normalize(self.projector(features), dim=1), self.config.neighbors
            )
        if begun:
            self.turn.fill_(turn)
            wanted = round(int(self.first) * (1 - self.config.merged) ** turn)
            known = self.labels[: len(features)]
            labels = merge_clusters(graph, known, max(self.config.clusters, wanted), self.config.locality)
        else:
            labels = first_clusters(graph).to(self.labels.device)
            self.first.copy_(labels.max() + 1)
        self.labels[: len(labels)] = labels
        self.count.copy_(labels.max() + 1)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Triplets of ``2 B`` views; embeddings that are all the same cost the margin."""
        config = self.config
        views = torch.cat([random_view(images, self.standardize, config.views, rng) for _ in range(2)])
        features = self.encoder(views)
        z = self.projector(features)
        labels = self.labels[ids].repeat(2)
        loss = weighted_triplets(
            z, labels, rng, margin=config.margin, weight=config.weight, negatives=config.negatives
        )
        metrics = {"clusters": self.count.float(), "embedding_spread": spread(z)}
        return TaskOutput(loss, metrics, features.detach())

    def _due(self) -> int:
        """How many times clusters should have been merged by now."""
        excess = int(self.first) / self.config.clusters
        turns = math.ceil(math.log(excess) / -math.log1p(-self.config.merged)) if excess > 1 else 0
        return min(turns, int(float(self.progress) * (turns + 1)))
