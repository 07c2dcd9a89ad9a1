"""Several heads as one."""

from typing import Self

import torch
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.outputs import Outputs


class Ensemble(Head):
    """Mean of heads, each in units of its own spread over the good regions: heads see different defects.

    Centre and spread are the median and the distance from there to the 99th percentile: what matters is how
    far out the tail begins, and it is not moved by the few regions beyond it.
    """

    centres: Tensor
    spreads: Tensor

    def __init__(self, heads: list[Head]) -> None:
        super().__init__()
        self.reads = "logits" if any(head.reads == "logits" for head in heads) else "features"
        self.heads = torch.nn.ModuleList(heads)
        self.register_buffer("centres", torch.zeros(len(heads)))
        self.register_buffer("spreads", torch.ones(len(heads)))

    def fit(self, outputs: Outputs) -> Self:
        """Fit the heads and measure their spread on the same regions."""
        for index, head in enumerate(self.heads):
            scores = head.fit(outputs)(outputs).flatten().double()  # type: ignore[operator]
            levels = torch.quantile(
                scores[:: max(1, len(scores) // 1_000_000)], scores.new_tensor([0.5, 0.99])
            )
            self.centres[index] = levels[0]
            self.spreads[index] = (levels[1] - levels[0]).clamp(min=1e-12)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        scores = [
            (head(outputs) - self.centres[index]) / self.spreads[index]
            for index, head in enumerate(self.heads)
        ]
        return torch.stack(scores).mean(dim=0)
