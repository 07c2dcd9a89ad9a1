"""Slowly following copies of networks (mean teachers, momentum encoders)."""

import copy
import math

import torch
from torch import nn


def follower(source: nn.Module) -> nn.Module:
    """A copy of ``source`` that no optimiser trains. Its batch norms keep statistics of their own."""
    return copy.deepcopy(source).requires_grad_(requires_grad=False)


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """Keep the share ``momentum`` of each parameter of ``target``; the rest comes from ``source``."""
    for kept, new in zip(target.parameters(), source.parameters(), strict=True):
        kept.lerp_(new, 1 - momentum)


def rising_momentum(start: float, progress: float) -> float:
    """From ``start`` at the beginning to 1 at the end, along a half cosine (BYOL, Grill et al. 2020)."""
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2
