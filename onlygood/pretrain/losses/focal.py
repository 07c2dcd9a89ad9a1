"""Focal loss (Lin et al. 2017, arXiv:1708.02002); float32 inside."""

from torch import Tensor
from torch.nn import functional


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of ``(1 - p)^gamma · -log p``, where p is the probability of the label, 0 or 1; 0-dim.

    What is right already counts little, so the many easy places do not drown the few hard ones. Logits of 0
    cost ``0.5^gamma · log 2``.
    """
    errors = functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return ((1 - (-errors).exp()) ** gamma * errors).mean()
