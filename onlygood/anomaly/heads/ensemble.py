"""Several heads as one."""

from copy import deepcopy
from typing import Self

import torch
from torch import Tensor, nn

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs

_SAMPLE = 20_000  # a spread is measured on at most so many regions


class Ensemble(Head):
    """Mean of heads, each in units of its own spread over good regions: heads differ in what they see.

    The center is the median, and the spread is the distance from the median to the 99th percentile. This says
    where the tail begins, and the few regions beyond it do not change that.
    """

    centers: Tensor
    spreads: Tensor

    def __init__(self, heads: list[Head]) -> None:
        super().__init__(heads[0].dim)
        self.heads = nn.ModuleList(heads)
        self.reads = frozenset().union(*(head.reads for head in heads))
        self.all_views = any(head.all_views for head in heads)
        self.places = any(head.places for head in heads)
        self.register_buffer("centers", torch.zeros(len(heads)))
        self.register_buffer("spreads", torch.ones(len(heads)))

    def fit(self, outputs: Outputs) -> Self:
        """Fit the heads, and measure the spread of scores of regions that a head has not seen.

        Every second image is scored by a copy of the head that is fitted on the other images: nearest
        neighbors have distance zero to the regions that they keep.
        """
        seen, unseen = outputs.take(slice(0, None, 2)), outputs.take(slice(1, None, 2))
        few = max(1, _SAMPLE // next(iter(outputs.tensors().values())).shape[1])
        unseen = unseen.take(slice(0, None, -(-len(unseen) // few)))
        for index, head in enumerate(self._heads()):
            scores = deepcopy(head).fit(seen)(unseen).flatten().double()
            middle, tail = torch.quantile(scores, scores.new_tensor([0.5, 0.99]))
            self.centers[index] = middle
            self.spreads[index] = (tail - middle).clamp(min=1e-12)
            head.fit(outputs)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; 0 at the median of good regions, 1 at their 99th percentile."""
        scores = [
            (head(outputs) - self.centers[index]) / self.spreads[index]
            for index, head in enumerate(self._heads())
        ]
        return torch.stack(scores).mean(dim=0)

    def _heads(self) -> list[Head]:
        return list(self.heads)  # type: ignore[arg-type]
