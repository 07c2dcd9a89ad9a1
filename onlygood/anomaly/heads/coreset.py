"""A few of many features that stand for all."""

import torch
from torch import Tensor

CANDIDATES = 30_000  # what is kept is chosen from at most so many regions


def some(x: Tensor, most: int = CANDIDATES) -> Tensor:
    """At most ``most`` rows of ``x`` ``(M, D)``, at even distances."""
    if len(x) <= most:
        return x
    return x[torch.linspace(0, len(x) - 1, most, device=x.device).long()]


def greedy_coreset(x: Tensor, count: int, start: int = 0) -> Tensor:
    """Ids ``(count,)`` of points that cover ``x`` ``(M, D)``: each new one is the farthest from those chosen.

    Gonzalez 1985, as used by PatchCore (Roth et al. 2022, arXiv:2106.08265). The largest distance of a point
    to the chosen ones is at most twice the optimum.
    """
    nearest = torch.full((x.shape[0],), float("inf"), device=x.device)
    chosen = torch.empty(count, dtype=torch.long, device=x.device)
    current = torch.tensor(start, device=x.device)
    for index in range(count):
        chosen[index] = current
        nearest = torch.minimum(nearest, (x - x[current]).square().sum(dim=1))
        current = nearest.argmax()
    return chosen
