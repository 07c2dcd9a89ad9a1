"""Heads of what a task says of each pixel: a defect, or another value than there is."""

from typing import Literal, Self

from pydantic import Field
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Kind, Outputs
from onlygood.pretrain.losses.ssim import ssim
from onlygood.runtime.strict import Strict


class DenseConfig(Strict):
    """How the places of a region become one score."""

    over: Literal["mean", "max"] = "mean"


class DenseProbability(Head):
    """The mean or largest probability of a defect over a region's places, as the task locates them.

    (NSA, Schlüter et al. 2022, arXiv:2109.15222, takes the mean of the image.)
    """

    Config = DenseConfig
    config: DenseConfig
    reads: frozenset[Kind] = frozenset({"dense"})

    def fit(self, outputs: Outputs) -> Self:
        """Learn nothing."""
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """Logits ``(N, R, h, w)`` to ``(N, R)`` in [0, 1]."""
        probability = outputs.get("dense").sigmoid()
        return probability.amax(dim=(2, 3)) if self.config.over == "max" else probability.mean(dim=(2, 3))


class ReconstructionConfig(Strict):
    """How a region is compared with its reconstruction; ``window`` is the side of SSIM's, in pixels."""

    measure: Literal["squared", "ssim"] = "squared"
    window: int = Field(default=11, ge=3)


class ReconstructionError(Head):
    """Mean squared error of a region's pixels, or ``1 - SSIM`` (Bergmann et al. 2019, arXiv:1807.02011)."""

    Config = ReconstructionConfig
    config: ReconstructionConfig
    reads: frozenset[Kind] = frozenset({"pixels", "restored"})

    def fit(self, outputs: Outputs) -> Self:
        """Learn nothing."""
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """Pixels ``(N, R, C, h, w)`` to ``(N, R)``."""
        pixels, restored = outputs.get("pixels"), outputs.get("restored")
        if self.config.measure == "squared":
            return (pixels - restored).square().mean(dim=(2, 3, 4))
        likeness = ssim(pixels.flatten(0, 1), restored.flatten(0, 1), self.config.window)
        return 1 - likeness.mean(dim=(1, 2)).reshape(-1, pixels.shape[1])
