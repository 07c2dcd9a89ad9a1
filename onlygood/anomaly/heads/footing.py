"""Scores of unlike branches on one footing: in units of good images that no head was fitted on."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.joins import Join
from onlygood.anomaly.heads.outputs import Outputs

_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)  # of good images; the tail goes on as it does from .9


class Footing(nn.Module):
    """What a score says, from scores of good images.

    There are two measures. ``units`` are 0 at the median of good images and 1 at their 99th percentile, which
    a few bad images among them hardly change. ``surprise`` is minus the logarithm of the p-value; between
    quantiles it is interpolated, and beyond them it goes on as an exponential tail, so that it still tells
    apart what lies farther out than any good image. The sum of surprises is Fisher's way to combine p-values
    (1925).
    """

    center: Tensor
    spread: Tensor
    knots: Tensor
    slopes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("knots", torch.zeros(len(_SHARES)))
        self.register_buffer("slopes", torch.ones(len(_SHARES)))

    def fit(self, scores: Tensor) -> None:
        """Learn from scores ``(n,)`` of good images."""
        x = scores.double()
        middle, far = torch.quantile(x, x.new_tensor([0.5, 0.99]))
        self.center.copy_(middle)
        spread = (far - middle).clamp(min=max(1e-6 * float(x.abs().max()), 1e-12))
        self.spread.copy_(spread)
        shares = x.new_tensor(_SHARES)
        knots = torch.quantile(x, shares)
        # Equal scores would make a step of infinite slope.
        knots = knots + torch.arange(len(knots), device=x.device) * 1e-6 * spread
        slopes = (-torch.log(1 - shares)).diff() / knots.diff()
        tail = _SHARES.index(0.9)
        slope = torch.log((1 - shares[tail]) / (1 - shares[-1])) / (knots[-1] - knots[tail])
        self.knots.copy_(knots)
        self.slopes.copy_(torch.cat([slopes, slope[None]]))

    def units(self, scores: Tensor) -> Tensor:
        """Scores of any shape; 0 at the median of good images, 1 at their 99th percentile."""
        return (scores - self.center) / self.spread

    def surprise(self, scores: Tensor) -> Tensor:
        """Scores ``(N, R)`` or ``(N,)`` to ``-ln p``; below the smallest good score it falls below 0."""
        ends = torch.cat([self.knots[1:], self.knots.new_full((1,), float("inf"))])
        parts = torch.minimum(scores[..., None], ends) - self.knots
        inside = parts.clamp(min=0) * self.slopes
        below = (scores - self.knots[0]).clamp(max=0) * self.slopes[0]
        return inside.sum(dim=-1) + below

    def forward(self, scores: Tensor, join: Join) -> Tensor:
        """Scores as ``join`` needs them."""
        return self.surprise(scores) if join == "fisher" else self.units(scores)


@torch.no_grad()
def unseen_scores(head: Head, outputs: Outputs, most: int | None = None) -> Tensor:
    """Region scores ``(n, R)`` of every second image, by a copy of the head that is fitted on the others.

    Nearest neighbors, for one, have distance zero to the regions that they keep. ``most`` bounds the regions.
    """
    seen, unseen = outputs.take(slice(0, None, 2)), outputs.take(slice(1, None, 2))
    if most is not None:
        few = max(1, most // next(iter(outputs.tensors().values())).shape[1])
        unseen = unseen.take(slice(0, None, -(-len(unseen) // few)))
    scores: Tensor = deepcopy(head).fit(seen)(unseen)
    return scores


def join(parts: list[Tensor], how: Join) -> Tensor:
    """Scores of branches on one footing, all of one shape, as one: their mean, maximum or sum."""
    stacked = torch.stack(parts)
    if how == "max":
        return stacked.amax(dim=0)
    return stacked.sum(dim=0) if how == "fisher" else stacked.mean(dim=0)
