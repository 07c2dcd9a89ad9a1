"""Learning a class from some of its members and a mixture, float32 inside (Kiryo et al. 2017)."""

from torch import Tensor
from torch.nn import functional


def non_negative_pu(positive: Tensor, unlabelled: Tensor, prior: float) -> Tensor:
    """Risk of logits of known members, ``positive`` (N,), and of a mixture, ``unlabelled`` (M,); 0-dim.

    ``prior`` is the share of members in the mixture. What a member costs as a non-member is taken from what
    the mixture costs; what is left is the cost of the non-members, which no true risk has below zero. There
    the estimate is held at zero (eq. 6), and no step back is made.

    The cost is the squared error of the probability: bounded, as the paper's sigmoid loss, but least at the
    true probability, ``prior`` where mixture and members look the same. Logarithmic costs have no bound.
    """
    p, u = positive.float().sigmoid(), unlabelled.float().sigmoid()
    members = (1 - p).square().mean()
    others = u.square().mean() - prior * p.square().mean()
    return prior * members + functional.relu(others)


def doubt_weights(p: Tensor, gamma: float) -> Tensor:
    """``1 - p^gamma``, float32: 1 where the class is ruled out, 0 where it is certain (Feng et al. 2019)."""
    return 1 - p.float().pow(gamma)
