"""GOAD's score: does each transform's copy lie nearest to its own center?"""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict


class GOADConfig(Strict):
    """``doubt`` is added to each ``exp(-d²)``: what lies far from all centers is nobody's."""

    doubt: float = Field(default=1e-6, gt=0)


class GOAD(Head):
    """``-1/K Σ_k log P(k | T_k x)``, with P from squared distances to the transforms' centers.

    ``P(m | z) = (exp(-‖z - c_m‖²) + ε) / (Σ_j exp(-‖z - c_j‖²) + K ε)`` (Bergman & Hoshen 2020,
    arXiv:2005.02359); the paper sums where this takes the mean. Centers are the means over good images.
    """

    Config = GOADConfig
    config: GOADConfig
    all_views = True
    least_views = 2
    centers: Tensor

    def __init__(self, dim: int, config: GOADConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("centers", torch.zeros(1, dim))

    def fit(self, outputs: Outputs) -> Self:
        """Find the centers ``(K, D)``."""
        self.centers = outputs.get("features").mean(dim=(0, 1))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        z = outputs.get("features")
        squares = z.square().sum(dim=3, keepdim=True) + self.centers.square().sum(dim=1)
        near = torch.exp(-(squares - 2 * z @ self.centers.T).clamp(min=0)) + self.config.doubt
        numbers = torch.arange(len(self.centers), device=z.device).view(1, 1, -1, 1)
        own = near.gather(3, numbers.expand(*near.shape[:3], 1))[..., 0]
        return (near.sum(dim=3).log() - own.log()).mean(dim=2)
