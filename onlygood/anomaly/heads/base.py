"""The contract of every head: fit on outputs of good images, score regions, keep fitted state in buffers."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from torch import Tensor, nn

from onlygood.anomaly.heads.outputs import Kind, Outputs
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.strict import Strict


class Head(nn.Module, ABC):
    """Scores regions; higher is more anomalous.

    Fitted state is buffers, so that it travels with the ONNX graph.
    """

    # Options of its own; they stand in a recipe as ``head.options.NAME``.
    Config: ClassVar[type[Strict]] = Strict
    config: Strict
    # What it reads of the outputs.
    reads: frozenset[Kind] = frozenset({"features"})
    # Whether it reads features under every test view of the task; logits always are.
    all_views: bool = False
    # Under how many views it must see an image to tell anything.
    least_views: int = 1
    # Whether it must be fitted on images with all their regions, because it tells places apart.
    places: bool = False

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.config = config or self.Config()

    def prepare(self, task: Task) -> None:
        """Take from the trained task what outputs do not hold; called once, before ``fit``."""

    @abstractmethod
    def fit(self, outputs: Outputs) -> Self:
        """Learn from the regions of good images."""

    @abstractmethod
    def forward(self, outputs: Outputs) -> Tensor:
        """Scores ``(N, R)``."""
