"""DeepCluster v2: k-means of remembered embeddings (in SwAV's paper, Caron et al. 2020, arXiv:2006.09882)."""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.clustering import kmeans, nmi, prototype_logits
from onlygood.pretrain.losses.measures import accuracy, spread
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class DeepClusterV2Config(Strict):
    """Two views of each image, and ``heads`` clusterings of the images."""

    views: Views = Field(default_factory=crop_and_color)
    clusters: int = Field(default=100, ge=2)
    heads: int = Field(default=3, ge=1)
    projection: int = Field(default=128, ge=2)
    temperature: float = Field(default=0.1, gt=0)
    iterations: int = Field(default=10, ge=1)  # of k-means


class DeepClusterV2Task(Task):
    """Both views of an image must find its centroid, in each of several spherical clusterings.

    The embeddings of the last epoch's views are kept, so clustering costs no pass over the images. The
    centroids are the classifier's weights: nothing has to be learned anew. Heads cluster the first and the
    second views in turn, as the authors do. The loss starts below chance, because centroids lie near their
    images; ``agreement`` is the share of views that are nearest to their own centroid.
    """

    config: DeepClusterV2Config
    projector: nn.Module
    memory: Tensor
    used: Tensor
    labels: Tensor
    centroids: Tensor
    temperatures: Tensor
    nmi: Tensor
    seed: Tensor

    def __init__(
        self,
        encoder: Encoder,
        config: DeepClusterV2Config,
        standardize: Standardize = "fixed",
        *,
        images: int,
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(encoder.dim, encoder.dim, config.projection)
        clusters = min(config.clusters, images)
        directions = torch.randn(config.heads, clusters, config.projection)
        self.register_buffer("memory", torch.zeros(2, images, config.projection))
        self.register_buffer("used", torch.zeros((), dtype=torch.int64))  # images in the memory
        self.register_buffer("labels", (torch.arange(images) % clusters).repeat(config.heads, 1))
        self.register_buffer("centroids", functional.normalize(directions, dim=2))
        self.register_buffer("temperatures", torch.full((config.heads, clusters), config.temperature))
        self.register_buffer("nmi", torch.zeros(()))
        self.register_buffer("seed", torch.randint(2**62, ()))

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Cluster the memory, which plain images fill before the first epoch."""
        rng = torch.Generator(self.labels.device).manual_seed(int(self.seed) + epoch)
        first = not self.used
        if first:
            features = embed()
            self.used.fill_(len(features))
            with torch.no_grad():  # one batch: the projector's batch norm has no statistics yet
                self.memory[:, : len(features)] = functional.normalize(self.projector(features), dim=1)
        used, before = int(self.used), self.labels[0].clone()
        self.temperatures.zero_()
        for head in range(self.config.heads):
            known = self.memory[head % 2, :used]
            labels, centroids = kmeans(
                known,
                self.centroids.shape[1],
                rng,
                iterations=self.config.iterations,
                init="random",
                spherical=True,
            )
            self.labels[head, :used] = labels
            self.centroids[head, : len(centroids)] = centroids
            self.temperatures[head, : len(centroids)] = self.config.temperature
        if not first:
            self.nmi.copy_(nmi(before[:used], self.labels[0, :used]))

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``2 B`` views with their images' clusters, averaged over heads."""
        views = [random_view(images, self.standardize, self.config.views, rng) for _ in range(2)]
        features = self.encoder(torch.cat(views))
        z = functional.normalize(self.projector(features).float(), dim=1)
        logits = prototype_logits(z, self.centroids, self.temperatures).flatten(0, 1)
        labels = self.labels[:, ids].repeat(1, 2).flatten()
        loss = functional.cross_entropy(logits, labels)
        self.memory[:, ids] = z.detach().view(2, len(images), -1)
        metrics = {
            "agreement": accuracy(logits, labels),
            "embedding_spread": spread(z),
            "nmi": self.nmi.clone(),
        }
        return TaskOutput(loss, metrics, features.detach())
