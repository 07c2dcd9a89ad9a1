"""Several heads as one."""

from typing import Self

import torch
from torch import Tensor, nn

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.outputs import Outputs

_SAMPLE = 1_000_000  # region scores that a spread is measured on


class Ensemble(Head):
    """Mean of heads, each in units of its own spread over the good regions: heads see different defects.

    Centre and spread are the median and the distance from there to the 99th percentile: what matters is how
    far out the tail begins, and the few regions beyond it do not move that.
    """

    centres: Tensor
    spreads: Tensor

    def __init__(self, heads: list[Head]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.reads = "logits" if any(head.reads == "logits" for head in heads) else "features"
        self.register_buffer("centres", torch.zeros(len(heads)))
        self.register_buffer("spreads", torch.ones(len(heads)))

    def fit(self, outputs: Outputs) -> Self:
        """Fit the heads and measure their spread on the same regions."""
        for index, head in enumerate(self._heads()):
            scores = head.fit(outputs)(outputs).flatten().double()
            few = scores[:: max(1, len(scores) // _SAMPLE)]
            middle, tail = torch.quantile(few, few.new_tensor([0.5, 0.99]))
            self.centres[index] = middle
            self.spreads[index] = (tail - middle).clamp(min=1e-12)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; 0 at the median of good regions, 1 at their 99th percentile."""
        scores = [
            (head(outputs) - self.centres[index]) / self.spreads[index]
            for index, head in enumerate(self._heads())
        ]
        return torch.stack(scores).mean(dim=0)

    def _heads(self) -> list[Head]:
        return list(self.heads)  # type: ignore[arg-type]
