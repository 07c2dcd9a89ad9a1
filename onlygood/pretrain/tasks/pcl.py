"""PCL: contrast with other images and with other clusters' prototypes (Li et al. 2021, arXiv:2005.04966)."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.clustering import (
    concentration,
    kmeans,
    nmi,
    prototype_logits,
)
from onlygood.pretrain.losses.contrastive import info_nce
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.bank import enqueue
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.ema import ema_copy, ema_update, shuffled_keys
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class PCLConfig(Strict):
    """Views, several numbers of ``clusters``, and MoCo's queue, momentum and temperature.

    Prototypes join with the first epoch that starts after the share ``warmup`` of training. ``alpha`` keeps
    small clusters from counting as tight. Keys are computed in ``groups`` of shuffled images.
    """

    views: Views = Field(default_factory=crop_and_color)
    clusters: list[Annotated[int, Field(ge=2)]] = Field(default_factory=lambda: [25, 50, 100], min_length=1)
    projection: int = Field(default=128, ge=2)
    temperature: float = Field(default=0.2, gt=0)
    momentum: float = Field(default=0.99, ge=0, le=1)
    queue: int = Field(default=1024, ge=1)  # at most as many as there are images
    warmup: float = Field(default=0.1, ge=0, le=1)
    alpha: float = Field(default=10.0, gt=1)
    iterations: int = Field(default=20, ge=1)  # of k-means
    groups: int = Field(default=4, ge=1)


class PCLTask(Task):
    """InfoNCE of a query with its key among queued keys, plus ProtoNCE with its clusters' centroids.

    Each prototype has its own temperature, low for tight clusters, and all others of its clustering are its
    negatives. The clusters are those of the last epoch's keys, which are kept for each image; the paper
    computes keys from plain images in a further pass. Queued keys of the query's own image are no negatives:
    with a small set of images, the queue holds keys of all of them. Shuffled groups keep batch norm from
    telling which key is whose.
    """

    config: PCLConfig
    projector: nn.Module
    queue: Tensor
    queue_ids: Tensor
    queued: Tensor
    memory: Tensor
    used: Tensor
    labels: Tensor
    centroids: Tensor
    temperatures: Tensor
    clustered: Tensor
    nmi: Tensor
    seed: Tensor

    def __init__(
        self, encoder: Encoder, config: PCLConfig, standardize: Standardize = "fixed", *, images: int
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(encoder.dim, encoder.dim, config.projection)
        self.keys = ema_copy(nn.Sequential(encoder, self.projector))
        length, sets = min(config.queue, images), len(config.clusters)
        most = min(max(config.clusters), images)
        self.register_buffer("queue", functional.normalize(torch.randn(length, config.projection), dim=1))
        self.register_buffer("queue_ids", torch.full((length,), -1))
        self.register_buffer("queued", torch.zeros((), dtype=torch.int64))
        self.register_buffer("memory", torch.zeros(images, config.projection))
        self.register_buffer("used", torch.zeros((), dtype=torch.int64))  # images in the memory
        self.register_buffer("labels", torch.zeros(sets, images, dtype=torch.int64))
        self.register_buffer("centroids", torch.zeros(sets, most, config.projection))
        self.register_buffer("temperatures", torch.zeros(sets, most))
        self.register_buffer("clustered", torch.zeros((), dtype=torch.bool))
        self.register_buffer("nmi", torch.zeros(()))
        self.register_buffer("seed", torch.randint(2**62, ()))

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Fill the memory from plain images once; after the warm-up, cluster it."""
        if not self.used:
            features = embed()
            self.used.fill_(len(features))
            with torch.no_grad():  # one batch: the projector's batch norm has no statistics yet
                self.memory[: len(features)] = functional.normalize(self.projector(features), dim=1)
        if self.progress < self.config.warmup:
            return
        rng = torch.Generator(self.labels.device).manual_seed(int(self.seed) + epoch)
        known, before = self.memory[: int(self.used)], self.labels[0].clone()
        self.temperatures.zero_()
        for row, clusters in enumerate(self.config.clusters):
            labels, centroids = kmeans(
                known, clusters, rng, iterations=self.config.iterations, init="random", spherical=True
            )
            k = len(centroids)
            self.labels[row, : len(known)], self.centroids[row, :k] = labels, centroids
            self.temperatures[row, :k] = concentration(
                known, labels, centroids, self.config.temperature, self.config.alpha
            )
        if self.clustered:
            self.nmi.copy_(nmi(before[: len(known)], self.labels[0, : len(known)]))
        self.clustered.fill_(True)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """InfoNCE of ``B`` queries, plus cross entropy with their prototypes averaged over clusterings."""
        views = [random_view(images, self.standardize, self.config.views, rng) for _ in range(2)]
        keys = shuffled_keys(self.keys, views[1], self.config.groups, rng)
        features = self.encoder(views[0])
        queries = functional.normalize(self.projector(features).float(), dim=1)
        same = ids[:, None] == self.queue_ids
        loss = info_nce(queries, keys, self.queue.clone(), self.config.temperature, same)
        metrics = {"instances": loss.detach(), "embedding_spread": spread(queries), "nmi": self.nmi.clone()}
        prototypes = torch.zeros_like(loss)
        if self.clustered:
            logits = prototype_logits(queries, self.centroids, self.temperatures)
            prototypes = functional.cross_entropy(logits.flatten(0, 1), self.labels[:, ids].flatten())
        self.memory[ids] = keys
        enqueue(self.queued, (self.queue, keys), (self.queue_ids, ids))
        return TaskOutput(
            loss + prototypes, {**metrics, "prototypes": prototypes.detach()}, features.detach()
        )

    def after_step(self, progress: float) -> None:
        """The network of the keys moves towards the trained one."""
        super().after_step(progress)
        ema_update(self.keys, nn.Sequential(self.encoder, self.projector), self.config.momentum)
