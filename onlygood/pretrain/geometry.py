"""Deterministic transforms of whole batches."""

import torch
from torch import Tensor


def rotations(x: Tensor) -> Tensor:
    """All quarter turns of square images, ``(B, C, S, S)`` to ``(4, B, C, S, S)``: 0, 90, 180, 270 degrees.

    Transposes and flips only: no interpolation, no border that would tell the angle.
    """
    return torch.stack([x.rot90(k, dims=(2, 3)) for k in range(4)])
