"""Distance to the nearest good regions in a coreset."""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict

CANDIDATES = 30_000  # the coreset is chosen from at most so many regions


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


class NeighborsConfig(Strict):
    """How many regions the coreset keeps, and to how many of them distances are averaged."""

    size: int = Field(default=2048, ge=1)
    neighbors: int = Field(default=1, ge=1)


class NearestNeighbors(Head):
    """Mean distance on the unit sphere to the nearest regions of the coreset."""

    Config = NeighborsConfig
    config: NeighborsConfig
    bank: Tensor

    def __init__(self, dim: int, config: NeighborsConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("bank", torch.zeros(self.config.size, dim))

    def fit(self, outputs: Outputs) -> Self:
        """Choose the coreset; if there are fewer regions, all are kept."""
        x = functional.normalize(outputs.rows(), dim=1)
        if len(x) > CANDIDATES:
            x = x[torch.linspace(0, len(x) - 1, CANDIDATES, device=x.device).long()]
        size = self.config.size
        self.bank = x[greedy_coreset(x, size)] if len(x) > size else x
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)`` in [0, 2]."""
        x = functional.normalize(outputs.plain(), dim=2)
        nearest = (x @ self.bank.T).topk(min(self.config.neighbors, len(self.bank)), dim=2).indices
        # Computed from the difference: 2 - 2 cos loses half of the digits if neighbors are near.
        squared = (x[:, :, None] - self.bank[nearest]).square().sum(dim=3)
        return squared.clamp(min=1e-12).sqrt().mean(dim=2)
