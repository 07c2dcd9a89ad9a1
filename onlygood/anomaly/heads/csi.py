"""CSI's score: similarity to good images and the classifier's confidence, under every shift."""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.coreset import greedy_coreset, some
from onlygood.anomaly.heads.logprob import ViewHead
from onlygood.anomaly.heads.outputs import Kind, Outputs
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.strict import Strict

_LEAST = 1e-3  # of a mean by which something is divided


class CSIConfig(Strict):
    """How many axes are kept of each shift."""

    size: int = Field(default=512, ge=1)


class CSI(ViewHead):
    """``-1/K Σ_k (max_m <f_k, a_km> / mean‖f_k‖ + l_k / mean l_k)`` (Tack et al. 2020, arXiv:2007.08176).

    ``f_k`` is the embedding under shift k, the mean over the task's views of that class; its axes ``a_km``
    are those of good images, of length 1; ``l_k`` is the logit of shift k. Meant for the projector's
    embeddings (``features.projected``). Two departures: a coreset of axes in place of all, and logits less
    their mean, which the classifier's answer does not depend on: with it ``mean l_k`` may be 0 or negative.
    """

    Config = CSIConfig
    config: CSIConfig
    reads: frozenset[Kind] = frozenset({"features", "logits"})
    all_views = True
    axes: Tensor
    weights: Tensor
    mixing: Tensor | None

    def __init__(self, dim: int, config: CSIConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("axes", torch.zeros(1, 1, dim))
        self.register_buffer("weights", torch.ones(2, 1))
        self.register_buffer("mixing", None)

    def prepare(self, task: Task) -> None:
        """Take the true classes of the views, and how views of one class are averaged ``(views, K)``."""
        super().prepare(task)
        member = functional.one_hot(torch.tensor(task.test_views.classes)).float()
        self.mixing = member / member.sum(dim=0)

    def fit(self, outputs: Outputs) -> Self:
        """Choose the axes ``(K, M, D)`` and the weights ``(2, K)``."""
        features, logits = self._by_shift(outputs)
        axes = []
        for shift in range(features.shape[2]):
            x = some(functional.normalize(features[:, :, shift].flatten(0, 1), dim=1))
            axes.append(x[greedy_coreset(x, self.config.size)] if len(x) > self.config.size else x)
        lengths, confidence = features.norm(dim=3).mean(dim=(0, 1)), logits.mean(dim=(0, 1))
        self.axes = torch.stack(axes)
        self.weights = 1 / torch.stack([lengths, confidence]).clamp(min=_LEAST)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        features, logits = self._by_shift(outputs)
        nearest = torch.einsum("nrkd,kmd->nrkm", features, self.axes).amax(dim=3)
        return -(nearest * self.weights[0] + logits * self.weights[1]).mean(dim=2)

    def _by_shift(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Embeddings ``(N, R, K, D)`` and logits ``(N, R, K)`` of each shift, the mean over its views."""
        features, logits = outputs.get("features"), outputs.get("logits")
        logits = self.true(logits - logits.mean(dim=3, keepdim=True))
        if self.mixing is None:
            return features, logits
        return torch.einsum("nrvd,vk->nrkd", features, self.mixing), logits @ self.mixing
