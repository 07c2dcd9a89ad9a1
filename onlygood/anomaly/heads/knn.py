"""Distance to the nearest good regions in a coreset."""

from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.coreset import CANDIDATES, greedy_coreset
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict

_ELSEWHERE = 1e6  # what a neighbor out of reach is nearer by: it counts only where none is in reach
_SPARE = 4  # rows beside the nearest that products may have mistaken for them, or the other way round
_PAIRS = 16_000_000  # distances that are computed at once while fitting


class NeighborsConfig(Strict):
    """How many regions the coreset keeps, and to how many of them distances are averaged.

    ``metric``: "cosine" is the distance on the unit sphere. ``reweight`` is the number of a neighbor's own
    neighbors by which PatchCore raises the score where the bank is sparse; 0 leaves it. ``reach``: neighbors
    must lie so near to the region's own place in their images, in steps of the grid; None: anywhere.
    """

    size: int = Field(default=2048, ge=1)
    neighbors: int = Field(default=1, ge=1)
    metric: Literal["cosine", "euclidean"] = "cosine"
    reweight: int = Field(default=0, ge=0)
    reach: int | None = Field(default=None, ge=0)


class NearestNeighbors(Head):
    """Mean distance to the nearest regions of the coreset.

    (PatchCore, Roth et al. 2022, arXiv:2106.08265.) With ``reweight`` the distance to the nearest is
    multiplied by ``1 - exp(d) / Σ exp(d_b)`` over the bank's neighbors b of that nearest region, as there;
    but for every region, so that heatmaps and scores agree.
    """

    Config = NeighborsConfig
    config: NeighborsConfig
    bank: Tensor
    half_squares: Tensor
    middle: Tensor
    friends: Tensor
    far: Tensor | None

    def __init__(self, dim: int, config: NeighborsConfig | None = None) -> None:
        super().__init__(dim, config)
        self.places = self.config.reach is not None
        self.register_buffer("bank", torch.zeros(self.config.size, dim))
        self.register_buffer("half_squares", torch.zeros(self.config.size))
        self.register_buffer("middle", torch.zeros(dim))
        self.register_buffer("friends", torch.zeros(self.config.size, self.config.reweight, dtype=torch.long))
        self.register_buffer("far", None)

    def fit(self, outputs: Outputs) -> Self:
        """Choose the coreset; if there are fewer regions, all are kept."""
        rows = outputs.rows()
        if self.config.metric == "euclidean":
            self.middle = rows.mean(dim=0)
        x = self._ready(rows)
        places = outputs.places().repeat(len(outputs))
        ids = torch.arange(len(x))
        if len(x) > CANDIDATES:
            ids = torch.linspace(0, len(x) - 1, CANDIDATES).long()
        if len(ids) > self.config.size:
            ids = ids[greedy_coreset(x[ids], self.config.size)]
        self.bank = x[ids]
        self.half_squares = 0.5 * self.bank.double().square().sum(dim=1).float()
        if self.config.reweight:
            self.friends = self._friends(min(self.config.reweight, len(self.bank)))
        if self.config.reach is not None:
            self.far = _far(outputs.places(), places[ids], outputs.grid[1], self.config.reach)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; with cosines in [0, 2]."""
        x = self._ready(outputs.plain())
        nearest, distances = self._nearest(x, min(self.config.neighbors, len(self.bank)))
        score = distances.mean(dim=2)
        if not self.config.reweight:
            return score
        around = self._distances(x, self.friends[nearest[:, :, 0]])
        share = torch.exp(distances[:, :, 0] - around.logsumexp(dim=2))
        return score * (1 - share)

    def _nearest(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Rows of the bank ``(N, R, count)`` that are nearest to ``x`` ``(N, R, D)``, and their distances.

        Products of float32 cannot tell which of several near rows is the nearest, and each machine would
        choose another. So a few more are taken, and ranked by their exact distances.
        """
        nearness = self._nearness(x)
        if self.far is not None:
            nearness = nearness - _ELSEWHERE * self.far
        candidates = nearness.topk(min(count + _SPARE, len(self.bank)), dim=2).indices
        distances = ranks = self._distances(x, candidates)
        if self.far is not None:
            ranks = distances + _ELSEWHERE * self.far.expand(len(x), -1, -1).gather(2, candidates)
        order = ranks.topk(count, dim=2, largest=False).indices
        return candidates.gather(2, order), distances.gather(2, order)

    def _ready(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1) if self.config.metric == "cosine" else x - self.middle

    def _nearness(self, x: Tensor) -> Tensor:
        """Larger for nearer rows of the bank, ``(…, M)``; of centered rows, or large numbers would cancel."""
        return x @ self.bank.T - self.half_squares

    def _distances(self, x: Tensor, ids: Tensor) -> Tensor:
        """Distances ``(N, R, k)`` of ``x`` ``(N, R, D)`` to rows ``(N, R, k)`` of the bank.

        Computed from the difference: 2 - 2 cos loses half of the digits if neighbors are near.
        """
        squared = (x[:, :, None] - self.bank[ids]).square().sum(dim=3)
        return squared.clamp(min=1e-12).sqrt()

    def _friends(self, count: int) -> Tensor:
        """The ``count`` nearest rows ``(M, count)`` of each row of the bank, itself among them."""
        parts = torch.split(self.bank, max(1, _PAIRS // len(self.bank)))
        return torch.cat([self._nearness(part).topk(count, dim=1).indices for part in parts])


def _far(every: Tensor, places: Tensor, columns: int, reach: int) -> Tensor:
    """1 where a place ``(R,)`` is farther than ``reach`` from that of a row of the bank, ``(R, M)``."""
    down = (every[:, None] // columns - places // columns).abs()
    across = (every[:, None] % columns - places % columns).abs()
    return (torch.maximum(down, across) > reach).float()
