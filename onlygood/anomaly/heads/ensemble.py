"""Several heads as one."""

from typing import Self

import torch
from torch import Tensor, nn

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.footing import Footing, unseen_scores
from onlygood.anomaly.heads.outputs import Outputs

_SAMPLE = 20_000  # a footing is measured on at most so many regions


class Ensemble(Head):
    """Mean of heads, each in units of its own spread over good regions: heads differ in what they see."""

    def __init__(self, heads: list[Head]) -> None:
        super().__init__(heads[0].dim)
        self.heads = nn.ModuleList(heads)
        self.footings = nn.ModuleList(Footing() for _ in heads)
        self.reads = frozenset().union(*(head.reads for head in heads))
        self.all_views = any(head.all_views for head in heads)
        self.places = any(head.places for head in heads)

    def fit(self, outputs: Outputs) -> Self:
        """Fit the heads, and measure the spread of scores of regions that a head has not seen."""
        for head, footing in self._members():
            footing.fit(unseen_scores(head, outputs, most=_SAMPLE).flatten())
            head.fit(outputs)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; 0 at the median of good regions, 1 at their 99th percentile."""
        scores = [footing.units(head(outputs)) for head, footing in self._members()]
        return torch.stack(scores).mean(dim=0)

    def _members(self) -> list[tuple[Head, Footing]]:
        return list(zip(self.heads, self.footings, strict=True))  # type: ignore[arg-type]
