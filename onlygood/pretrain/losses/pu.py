"""A class learned from some of its members and a mixture (Kiryo et al. 2017, arXiv:1703.00593); float32."""

from torch import Tensor
from torch.nn import functional


def non_negative_pu(positive: Tensor, unlabeled: Tensor, prior: float) -> Tensor:
    """Risk of logits of known members, ``positive`` ``(N,)``, and a mixture, ``unlabeled`` ``(M,)``; 0-dim.

    ``prior`` is the share of members in the mixture. The cost of the non-members is the cost of the mixture
    as non-members, less what its members contribute to it. No true risk is below zero; where the estimate
    would be, it is held at zero (eq. 6), and no step back is made.

    The cost is the squared error of the probability. Like the paper's sigmoid loss it is bounded, but it is
    least at the true probability: at ``prior`` where mixture and members look the same. Logarithmic costs
    have no bound.
    """
    p, u = positive.float().sigmoid(), unlabeled.float().sigmoid()
    members = (1 - p).square().mean()
    others = u.square().mean() - prior * p.square().mean()
    return prior * members + functional.relu(others)


def doubt_weights(p: Tensor, gamma: float) -> Tensor:
    """``1 - p^gamma``, float32: 1 where the class is ruled out, 0 where it is certain (Feng et al. 2019)."""
    return 1 - p.float().pow(gamma)
