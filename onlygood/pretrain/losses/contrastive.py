"""Losses as pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy of two views, ``a`` and ``b`` each ``(N, D)``.

    Every embedding must pick its partner among the other 2N - 1 (SimCLR, Chen et al. 2020). Chance is
    log(2N - 1).
    """
    n = a.shape[0]
    z = functional.normalize(torch.cat([a, b]).float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):  # which would multiply in bfloat16
        logits = z @ z.T / temperature
    logits.fill_diagonal_(float("-inf"))
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return functional.cross_entropy(logits, partner)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose largest logit is the label; 0-dim."""
    return (logits.detach().argmax(dim=1) == labels).float().mean()
