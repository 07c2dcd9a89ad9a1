"""Confidence of the pretext classifier."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.errors import OnlygoodError


class LogProbability(Head):
    """Minus the mean log-probability of the true transform: ``-1/K Σ_k log p_k(T_k x)``.

    With four rotations it is the confidence of the rotation classifier (Hendrycks et al. 2019,
    arXiv:1906.12340). With a classifier of synthetic defects, K = 1 and class 0 is "clean". It is computed as
    ``softplus(logsumexp(others) - true)``, which does not round to zero if the classifier is sure.
    """

    reads = "logits"

    def fit(self, outputs: Outputs) -> Self:
        """Learn nothing; check that there are logits.

        Raises:
            OnlygoodError: the outputs hold no logits.
        """
        _logits(outputs)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """Logits ``(N, R, K, C)`` to ``(N, R)``."""
        logits = _logits(outputs)
        views, classes = logits.shape[2:]
        terms = []
        for view in range(views):
            others = torch.tensor([c for c in range(classes) if c != view], device=logits.device)
            rest = logits[:, :, view].index_select(2, others).logsumexp(dim=2)
            terms.append(functional.softplus(rest - logits[:, :, view, view]))
        return torch.stack(terms).mean(dim=0)


def _logits(outputs: Outputs) -> Tensor:
    if outputs.logits is None:
        raise OnlygoodError("the head 'logprob' needs logits, and the encoder's outputs hold none")
    return outputs.logits.float()
