"""Distance to the nearest good regions in a coreset."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head, plain_features
from onlygood.anomaly.heads.outputs import Outputs

CANDIDATES = 30_000  # regions that the coreset is chosen from


def greedy_coreset(x: Tensor, count: int, start: int = 0) -> Tensor:
    """Ids ``(count,)`` of points that cover ``x (M, D)``: each next one is the farthest from those chosen.

    Gonzalez 1985, as used by PatchCore (Roth et al. 2022); the largest distance left is at most twice the
    optimum.
    """
    nearest = torch.full((x.shape[0],), float("inf"), device=x.device)
    chosen = torch.empty(count, dtype=torch.long, device=x.device)
    current = torch.tensor(start, device=x.device)
    for index in range(count):
        chosen[index] = current
        nearest = torch.minimum(nearest, (x - x[current]).square().sum(dim=1))
        current = nearest.argmax()
    return chosen


class NearestNeighbours(Head):
    """Mean distance on the unit sphere to the ``neighbours`` nearest of ``size`` good regions."""

    bank: Tensor

    def __init__(self, dim: int, size: int = 2048, neighbours: int = 1) -> None:
        super().__init__()
        self.size = size
        self.neighbours = neighbours
        self.register_buffer("bank", torch.zeros(size, dim))

    def fit(self, outputs: Outputs) -> Self:
        """Choose the coreset; a smaller set of regions is kept whole."""
        x = functional.normalize(plain_features(outputs).flatten(0, 1).float(), dim=1)
        if len(x) > CANDIDATES:
            x = x[torch.linspace(0, len(x) - 1, CANDIDATES, device=x.device).long()]
        self.bank = x[greedy_coreset(x, self.size)] if len(x) > self.size else x
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)`` in [0, 2]."""
        x = functional.normalize(plain_features(outputs).float(), dim=2)
        nearest = (x @ self.bank.T).topk(min(self.neighbours, len(self.bank)), dim=2).indices
        # From the difference: 2 - 2 cos loses half of the digits where neighbours are near.
        squared = (x[:, :, None] - self.bank[nearest]).square().sum(dim=3)
        return squared.clamp(min=1e-12).sqrt().mean(dim=2)
