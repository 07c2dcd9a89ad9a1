"""Confidence of the pretext classifier in the true transforms: mean log-probability, or mean probability."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Kind, Outputs
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.strict import Strict


class ViewHead(Head):
    """Reads logits ``(N, R, K, C)`` of the task's test views; ``classes`` ``(K,)`` are their true classes."""

    reads: frozenset[Kind] = frozenset({"logits"})
    classes: Tensor | None

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("classes", None)

    def prepare(self, task: Task) -> None:
        """Take the true classes of the views."""
        self.classes = torch.tensor(task.test_views.classes)

    def true(self, values: Tensor) -> Tensor:
        """Of values ``(N, R, K, C)`` those of the true classes, ``(N, R, K)``."""
        classes = (
            torch.arange(values.shape[2], device=values.device) if self.classes is None else self.classes
        )
        return values.gather(3, classes.view(1, 1, -1, 1).expand(*values.shape[:3], 1))[..., 0]


class LogProbability(ViewHead):
    """Minus the mean log-probability of the true transform: ``-1/K Σ_k log p_k(T_k x)``.

    With four rotations it is the confidence of the rotation classifier (Hendrycks et al. 2019,
    arXiv:1906.12340). With a classifier of synthetic defects, K = 1 and class 0 is "clean". It is computed as
    ``softplus(logsumexp(others) - true)``, which does not round to zero if the classifier is sure.
    """

    def fit(self, outputs: Outputs) -> Self:
        """Learn nothing."""
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """Logits ``(N, R, K, C)`` to ``(N, R)``."""
        return functional.softplus(self.odds(outputs.get("logits"))).mean(dim=2)

    def odds(self, logits: Tensor) -> Tensor:
        """Logarithms of the odds against the true classes, ``(N, R, K)``."""
        numbers = torch.arange(logits.shape[3], device=logits.device)
        classes = numbers[: logits.shape[2]] if self.classes is None else self.classes
        own = classes[:, None] == numbers
        rest = torch.where(own, logits.new_tensor(float("-inf")), logits).logsumexp(dim=3)
        return rest - self.true(logits)


class Probability(LogProbability):
    """One minus the mean probability of the true transform, ``1 - 1/K Σ_k p_k(T_k x)``: GEOM's simple score.

    (Golan & El-Yaniv 2018, arXiv:1805.10917.) Computed from the odds, which keeps small differences from 1.
    """

    def forward(self, outputs: Outputs) -> Tensor:
        """Logits ``(N, R, K, C)`` to ``(N, R)`` in [0, 1]."""
        return self.odds(outputs.get("logits")).sigmoid().mean(dim=2)
