"""Multi-head rotation: how was it turned, and how shifted along each axis? (Hendrycks et al. 2019).

(Using self-supervised learning can improve model robustness and uncertainty, arXiv:1906.12340.)
"""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.tasks.geometric import GeometricConfig, GeometricTask
from onlygood.pretrain.views.views import Views


class MultiHeadRotationConfig(GeometricConfig):
    """Geometric's; there is one more head if ``flips`` are asked for, and then views should not flip."""

    flips: bool = False
    views: Views = Field(default_factory=Views)


class JointHeads(nn.Module):
    """Independent questions about the same features: a linear layer for each."""

    def __init__(self, dim: int, answers: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(dim, count) for count in answers)

    def forward(self, features: Tensor) -> Tensor:
        """``(..., D)`` to log-probabilities ``(..., K)`` of all answers; the last head's change first."""
        joint, *rest = (functional.log_softmax(head(features).float(), dim=-1) for head in self.heads)
        for each in rest:
            joint = (joint[..., :, None] + each[..., None, :]).flatten(-2)
        return joint


class MultiHeadRotationTask(GeometricTask):
    """The joint cross entropy, which is the sum of the heads' cross entropies; 36 views by default.

    The paper draws shifts and takes all turns of each; here ``copies`` of all combinations are drawn.
    """

    config: MultiHeadRotationConfig

    def _classifier(self, dim: int) -> nn.Module:
        counts = [len(column.unique()) for column in self.transforms.T]
        return JointHeads(dim, [count for count in counts if count > 1])
