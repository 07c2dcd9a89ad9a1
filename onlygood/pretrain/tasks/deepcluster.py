"""DeepCluster: learn the clusters of one's own features, repeatedly (Caron et al. 2018, arXiv:1807.05520)."""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.clustering import kmeans, nmi, pca_whiten
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class DeepClusterConfig(Strict):
    """Views, and how the features are clustered; the paper takes ten clusters for each class it expects.

    The paper clusters before every epoch. Here clusters are kept for at least ``least_steps`` steps: an epoch
    of few steps teaches a new classifier little.
    """

    views: Views = Field(default_factory=lambda: Views(scale=(0.2, 1.0)))
    clusters: int = Field(default=100, ge=2)
    pca: int = Field(default=64, ge=1)  # dimensions, at most an eighth of the number of images
    iterations: int = Field(default=20, ge=1)  # of k-means
    least_steps: int = Field(default=50, ge=1)


class DeepClusterTask(Task):
    """Cross entropy with k-means labels of PCA-whitened, L2-normalized features of plain images.

    The paper samples images uniformly over clusters: without that, most images in one cluster would be an
    easy solution. Here the trainer owns the sampling. So each image's loss is divided by the size of its
    cluster instead, and the batch's loss by the sum of these weights, which has about the same effect.
    ``accuracy`` is weighted in the same way: always naming one cluster scores 1/K.

    A clustering names its clusters anew, so the classifier starts anew with it. The optimizer's momentum for
    the old classifier dies away within some steps. ``nmi`` says how far two clusterings in a row agree.
    """

    config: DeepClusterConfig
    turns = 1  # versions of each view, which are classes of their own
    labels: Tensor
    weights: Tensor
    nmi: Tensor
    age: Tensor
    clustered: Tensor
    seed: Tensor

    def __init__(
        self, encoder: Encoder, config: DeepClusterConfig, standardize: Standardize = "fixed", *, images: int
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.clusters = min(config.clusters, images)
        self.classes = self.clusters * self.turns
        self.cluster_classifier = nn.Linear(encoder.dim, self.classes)
        self.register_buffer("labels", torch.arange(images) % self.clusters)
        self.register_buffer("weights", torch.ones(self.clusters))
        self.register_buffer("nmi", torch.zeros(()))
        self.register_buffer("age", torch.zeros((), dtype=torch.int64))  # steps since the clustering
        self.register_buffer("clustered", torch.zeros((), dtype=torch.bool))
        self.register_buffer("seed", torch.randint(2**62, ()))
        self._restart(None)

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Cluster, and start the classifier anew, unless the clusters are still young."""
        if self.clustered and self.age < self.config.least_steps:
            return
        rng = torch.Generator(self.labels.device).manual_seed(int(self.seed) + epoch)
        features = embed()
        dims = min(self.config.pca, max(1, len(features) // 8))
        points = functional.normalize(pca_whiten(features, dims), dim=1)
        labels, _ = kmeans(points, self.clusters, rng, iterations=self.config.iterations)
        if self.clustered:
            self.nmi.copy_(nmi(self.labels[: len(labels)], labels))
        self.labels[: len(labels)] = labels
        sizes = torch.bincount(labels, minlength=self.clusters)
        self.weights.copy_(torch.where(sizes > 0, 1 / sizes, 0))
        self._restart(rng)
        self.age.zero_()
        self.clustered.fill_(True)

    def after_step(self, progress: float) -> None:
        """The clusters grow older."""
        super().after_step(progress)
        self.age += 1

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Weighted cross entropy of ``turns * B`` views, the turns of all images one after another."""
        features = self.encoder(self._views(images, rng))
        logits = self.cluster_classifier(features).float()
        turn = torch.arange(self.turns, device=ids.device)[:, None]
        labels = (self.labels[ids] * self.turns + turn).flatten()
        weights = self.weights.repeat_interleave(self.turns)
        loss = functional.cross_entropy(logits, labels, weights)
        right = (logits.detach().argmax(dim=1) == labels) * weights[labels]
        metrics = {"accuracy": right.sum() / weights[labels].sum(), "nmi": self.nmi.clone()}
        return TaskOutput(loss, metrics, features.detach())

    def _views(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Views ``(turns * B, C, S, S)``, all images in each turn."""
        return random_view(images, self.standardize, self.config.views, rng)

    def _restart(self, rng: torch.Generator | None) -> None:
        """A classifier that knows nothing: its loss is log K."""
        with torch.no_grad():
            self.cluster_classifier.weight.normal_(0, 0.01, generator=rng)
            self.cluster_classifier.bias.zero_()
