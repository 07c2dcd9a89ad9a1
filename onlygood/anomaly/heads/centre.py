"""Distance to one centre."""

from typing import Self

import torch
from torch import Tensor

from onlygood.anomaly.heads.base import Head, plain_features
from onlygood.anomaly.heads.outputs import Outputs


class CentreDistance(Head):
    """Squared distance to the centre that Deep SVDD trained towards, or else to the mean feature.

    ``‖φ(x) - c‖²`` (Ruff et al. 2018); a soft boundary's radius only shifts it, so it is left to the
    calibration.
    """

    centre: Tensor

    def __init__(self, dim: int, centre: Tensor | None = None) -> None:
        super().__init__()
        self.given = centre is not None
        self.register_buffer("centre", torch.zeros(dim) if centre is None else centre.detach().clone())

    def fit(self, outputs: Outputs) -> Self:
        """Take the mean feature as centre, unless one was trained."""
        if not self.given:
            self.centre.copy_(plain_features(outputs).flatten(0, 1).float().mean(dim=0))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        return (plain_features(outputs).float() - self.centre).square().sum(dim=2)
