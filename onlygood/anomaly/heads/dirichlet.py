"""GEOM's score: Dirichlet densities of the classifier's answers to each transform."""

from typing import Self

import torch
from torch import Tensor

from onlygood.anomaly.heads.logprob import ViewHead
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict

_LEAST = -50.0  # natural logarithm of the smallest probability
_NEWTON, _ROUNDS, _CLOSE = 5, 1000, 1e-9


def inverse_digamma(y: Tensor) -> Tensor:
    """``ψ⁻¹(y)`` by Newton's method (Minka 2000)."""
    x = torch.where(y >= -2.22, y.exp() + 0.5, -1 / (y - torch.digamma(y.new_ones(()))))
    for _ in range(_NEWTON):
        x = x - (torch.digamma(x) - y) / torch.polygamma(1, x)
    return x


def fit_dirichlet(log_p: Tensor) -> Tensor:
    """The most likely parameters ``(K, C)`` of log-probabilities ``(n, K, C)``: Minka's fixed point (2000).

    It begins where GEOM begins (Wicker et al. 2008), and ends when no distribution moves.
    """
    x = log_p.double()
    mean_log, mean = x.mean(dim=0), x.exp().mean(dim=0)
    gap = (mean * (mean.clamp(min=1e-300).log() - mean_log)).sum(dim=1, keepdim=True)
    start = mean * (x.shape[2] - 1) * -torch.digamma(x.new_ones(())) / gap.clamp(min=1e-12)
    alpha = start.clamp(min=1e-6)
    for _ in range(_ROUNDS):
        new = inverse_digamma(torch.digamma(alpha.sum(dim=1, keepdim=True)) + mean_log)
        done = (new - alpha).norm(dim=1).max() < _CLOSE
        alpha = new
        if done:
            break
    return alpha


class Dirichlet(ViewHead):
    """``-1/K Σ_k Σ_c (α_kc - 1) log p_c(T_k x)``: how unlikely the classifier's answers are for good images.

    Golan & El-Yaniv 2018 (arXiv:1805.10917). Of each transform the answers to good images have a Dirichlet
    distribution of their own. Logarithms are bounded from below, or one extreme answer among the good ones
    would decide their means.
    """

    weights: Tensor

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("weights", torch.zeros(1, 1))

    def fit(self, outputs: Outputs) -> Self:
        """Fit the K densities."""
        self.weights = (fit_dirichlet(_log_p(outputs.get("logits").flatten(0, 1))) - 1).float()
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """Logits ``(N, R, K, C)`` to ``(N, R)``."""
        return -(_log_p(outputs.get("logits")) * self.weights).sum(dim=3).mean(dim=2)


def _log_p(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1).clamp(min=_LEAST)
