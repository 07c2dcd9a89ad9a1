"""Slow copies of networks: moving averages of their parameters (mean teachers, momentum encoders)."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_FEWEST = 4  # images in a group


def ema_copy(source: nn.Module) -> nn.Module:
    """A copy of ``source`` that no optimizer trains. Its batch norms keep statistics of their own."""
    return copy.deepcopy(source).requires_grad_(requires_grad=False)


@torch.no_grad()
def ema_update(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """Keep the share ``momentum`` of each parameter of ``target``; the rest comes from ``source``."""
    for kept, new in zip(target.parameters(), source.parameters(), strict=True):
        kept.lerp_(new, 1 - momentum)


def rising_momentum(start: float, progress: float) -> float:
    """From ``start`` at the beginning to 1 at the end, along a half cosine (BYOL, Grill et al. 2020)."""
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


def groups(x: Tensor, most: int) -> tuple[Tensor, ...]:
    """``x`` ``(B, …)`` in ``most`` parts, or in fewer where a part would have less than four images.

    A batch norm then sees each part by itself.
    """
    return x.tensor_split(max(1, min(most, len(x) // _FEWEST)))


@torch.no_grad()
def shuffled_keys(network: nn.Module, x: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Outputs ``(B, D)`` of ``network``, of length 1, for ``x`` in shuffled ``groups``, put back in order.

    Within a batch norm, a query could know its key by the statistics of their common batch. Shuffled groups
    have others: they stand for the shuffled devices of MoCo's paper, on one device.
    """
    order = torch.randperm(len(x), generator=rng, device=x.device)
    keys = torch.cat([network(group) for group in groups(x[order], most)])
    return functional.normalize(keys.float(), dim=1)[order.argsort()]
