"""Distance to one center."""

from typing import Self

import torch
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.strict import Strict


class CenterDistance(Head):
    """Squared distance to the center that the task pulled features to, or else to the mean feature.

    ``‖φ(x) - c‖²`` (Deep SVDD, Ruff et al. 2018). The radius of the soft boundary only shifts the score, so
    it is left out: the calibration sets the threshold.
    """

    center: Tensor

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__(dim, config)
        self.given = False
        self.register_buffer("center", torch.zeros(dim))

    def prepare(self, task: Task) -> None:
        """Take the task's center, if it has one."""
        if task.center is not None:
            self.given = True
            self.center.copy_(task.center)

    def fit(self, outputs: Outputs) -> Self:
        """Take the mean feature as center, unless one was trained."""
        if not self.given:
            self.center.copy_(outputs.rows().mean(dim=0))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        return (outputs.plain() - self.center).square().sum(dim=2)
