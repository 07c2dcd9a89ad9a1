"""The contract of every head: fit on good images' outputs, score regions, keep what was fitted in buffers."""

from abc import ABC, abstractmethod
from typing import Literal, Self

from torch import Tensor, nn

from onlygood.anomaly.heads.outputs import Outputs


class Head(nn.Module, ABC):
    """Scores regions; higher is more anomalous.

    Fitted state is buffers, so that it travels with the ONNX graph.
    """

    reads: Literal["features", "logits"] = "features"

    @abstractmethod
    def fit(self, outputs: Outputs) -> Self:
        """Learn from the regions of good images."""

    @abstractmethod
    def forward(self, outputs: Outputs) -> Tensor:
        """Scores ``(N, R)``."""


def plain_features(outputs: Outputs) -> Tensor:
    """Features of the untransformed view, ``(N, R, D)``."""
    return outputs.features[:, :, 0]
