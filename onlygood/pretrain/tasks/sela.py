"""SeLa: label images by one's own guesses, all labels equally often (Asano et al. 2020, arXiv:1911.05371)."""

import math
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.clustering import fill_empty, nmi, sinkhorn
from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class SeLaConfig(Strict):
    """Views, labels, and how often the labels are chosen anew.

    ``labellings`` happen early rather than late: number j of n is due when (j / (n - 1))² of training is
    done, and happens at the next start of an epoch. ``sharpness`` is the paper's λ, for log-probabilities of
    unit deviation.
    """

    views: Views = Field(default_factory=crop_and_color)
    clusters: int = Field(default=100, ge=2)
    heads: int = Field(default=4, ge=1)
    labellings: int = Field(default=80, ge=2)
    sharpness: float = Field(default=25.0, gt=0)
    iterations: int = Field(default=100, ge=1)  # of Sinkhorn


class SeLaTask(Task):
    """Cross entropy with labels that optimal transport assigns, for each of several classifiers.

    Labels maximize the likelihood of the classifier's own guesses, under the constraint that every label has
    the same number of images: without it, one label for all would be best. Unlike DeepCluster's, labels keep
    their meaning, so the classifiers are never started anew.

    The paper raises the probabilities to the power λ. A network that has learned nothing gives all images
    about the same probabilities. Then the soft assignments are so flat that their largest entries share few
    labels. So log-probabilities are divided by their deviation here. A label without an image takes half of
    the images of another label.
    """

    config: SeLaConfig
    labels: Tensor
    done: Tensor
    nmi: Tensor

    def __init__(
        self, encoder: Encoder, config: SeLaConfig, standardize: Standardize = "fixed", *, images: int
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.classes = min(config.clusters, images)
        self.cluster_classifier = nn.Linear(encoder.dim, config.heads * self.classes)
        nn.init.normal_(self.cluster_classifier.weight, 0, 0.01)
        nn.init.zeros_(self.cluster_classifier.bias)
        self.register_buffer("labels", (torch.arange(images) % self.classes).repeat(config.heads, 1))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))  # labellings so far
        self.register_buffer("nmi", torch.zeros(()))

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Label all images anew, if it is time."""
        due = 1 + int(math.sqrt(float(self.progress)) * (self.config.labellings - 1))
        if self.done >= due:
            return
        with torch.no_grad():
            labels = self._label(embed())
        if self.done:
            self.nmi.copy_(nmi(self.labels[0, : labels.shape[1]], labels[0]))
        self.labels[:, : labels.shape[1]] = labels
        self.done.fill_(due)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of one view, averaged over heads."""
        features = self.encoder(random_view(images, self.standardize, self.config.views, rng))
        logits = self._logits(features).flatten(0, 1)
        labels = self.labels[:, ids].flatten()
        loss = functional.cross_entropy(logits, labels)
        return TaskOutput(
            loss, {"accuracy": accuracy(logits, labels), "nmi": self.nmi.clone()}, features.detach()
        )

    def _logits(self, features: Tensor) -> Tensor:
        """Float32 ``(heads, N, K)`` of features ``(N, D)``."""
        logits: Tensor = self.cluster_classifier(features).float()
        return logits.view(len(features), self.config.heads, -1).transpose(0, 1)

    def _label(self, features: Tensor) -> Tensor:
        """Labels ``(heads, N)`` of features ``(N, D)``: the most likely ones that are shared equally."""
        features, labels = features.nan_to_num(0.0, 0.0, 0.0), []
        for logits in self._logits(features).log_softmax(dim=2).unbind():
            scores = logits - logits.mean(dim=0)  # how popular a label is does not count in the end
            epsilon = scores.std(correction=0).clamp(min=1e-12).item() / self.config.sharpness
            codes = sinkhorn(scores, epsilon, self.config.iterations)
            labels.append(fill_empty(features, codes.argmax(dim=1), logits.shape[1]))
        return torch.stack(labels)
