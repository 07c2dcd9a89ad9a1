"""Outputs of the encoder for images: the seam between detector and heads."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Outputs:
    """N images, each seen as R regions, each region under K views.

    ``features`` ``(N, R, K, D)``; ``logits`` ``(N, R, K, C)`` if the task has a classifier of its
    views: class k is the true class of view k.
    """

    features: Tensor
    logits: Tensor | None = None

    def take(self, which: slice | Tensor) -> "Outputs":
        """Some of the images."""
        return Outputs(self.features[which], None if self.logits is None else self.logits[which])
