"""Deterministic transforms of whole batches."""

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Index = TypeVar("Index", Tensor, NDArray[np.integer[Any]])


def rotations(x: Tensor) -> Tensor:
    """All quarter turns of square images, ``(B, C, S, S)`` to ``(4, B, C, S, S)``: 0, 90, 180, 270 degrees.

    By transposes and flips only: there is no interpolation and no border that would tell the angle.
    """
    return torch.stack([x.rot90(k, dims=(2, 3)) for k in range(4)])


def geometric_transforms(*, flips: bool, shift: int, turns: bool) -> Tensor:
    """Every combination ``(K, 4)`` of flip (0, 1), shifts right and down (0, ±shift px) and quarter turns.

    Row 0 changes nothing. With all of them there are 72, those of GEOM (Golan & El-Yaniv 2018,
    arXiv:1805.10917).
    """
    moves = [0, -shift, shift] if shift else [0]
    axes = [[0, 1] if flips else [0], moves, moves, list(range(4)) if turns else [0]]
    return torch.cartesian_prod(*[torch.tensor(axis) for axis in axes])


def transform(x: Tensor, parameters: Tensor) -> Tensor:
    """Flip, shift and turn square images ``(B, C, S, S)``, each by its row of ``parameters`` ``(B, 4)``.

    A shift fills what it uncovers by reflection. Pixels are moved, never interpolated.
    """
    side, last = x.shape[2], x.shape[2] - 1
    flip, right, down, turn = parameters.to(x.device).unbind(dim=1)
    row, column = torch.meshgrid(*[torch.arange(side, device=x.device)] * 2, indexing="ij")
    # Before turn k, out[i, j] was at (i, j), (j, last - i), (last - i, last - j), (last - j, i).
    sources = torch.stack([row, column, last - row, last - column])
    r = reflect(sources[turn] - down.view(-1, 1, 1), last)
    c = reflect(sources[(turn + 1) % 4] - right.view(-1, 1, 1), last)
    c = torch.where(flip.view(-1, 1, 1) == 1, last - c, c)
    index = (r * side + c).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).view_as(x)


def reflect(index: Index, last: int) -> Index:
    """Indices beyond 0 … ``last``, mirrored at the border pixel."""
    return last - abs(last - abs(index))
