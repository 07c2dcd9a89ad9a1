"""Foreign textures in patches of Perlin noise (DRAEM, Zavrtanik et al. 2021, arXiv:2108.07610), batched.

Images are float ``(B, C, H, W)``. Nothing loops over images.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.defects import frame, log_uniform
from onlygood.pretrain.views.views import Views, random_flip, recolor, uniform

_SIDE = 64  # cells along a side of the lattice of random directions, which then repeats
_FINEST = 4.0  # px; the smallest cells
_RECOLORED = Views(brightness=1.0, contrast=0.5, saturation=1.0, hue=0.5)


def perlin_noise(batch: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Perlin noise ``(B, H, W)`` of about -1 to 1, 0 at the corners of its cells.

    Each image has cells of its own direction, length and width: 4 px to the side of the image, every octave
    equally likely.
    """
    largest = max(_FINEST, float(max(height, width)))
    along, across = frame(batch, height, width, rng)
    u = along / log_uniform(batch, _FINEST, largest, rng)
    v = across / log_uniform(batch, _FINEST, largest, rng)
    angle = uniform((batch, _SIDE * _SIDE), 0, 2 * math.pi, rng)
    return lattice_noise(u, v, angle.cos(), angle.sin())


def lattice_noise(u: Tensor, v: Tensor, slope_u: Tensor, slope_v: Tensor) -> Tensor:
    """Noise ``(B, H, W)`` at the places ``u``, ``v`` of a lattice with slopes ``(B, 64²)`` at its corners."""
    low_u, low_v = u.floor(), v.floor()
    u, v = u - low_u, v - low_v
    rows, columns = low_u.long(), low_v.long()

    def corner(i: int, j: int) -> Tensor:
        index = ((rows + i) % _SIDE * _SIDE + (columns + j) % _SIDE).flatten(1)
        rise = slope_u.gather(1, index).view_as(u) * (u - i)
        return rise + slope_v.gather(1, index).view_as(v) * (v - j)

    smooth_u, smooth_v = _smooth(u), _smooth(v)
    first = torch.lerp(corner(0, 0), corner(0, 1), smooth_v)
    second = torch.lerp(corner(1, 0), corner(1, 1), smooth_v)
    return math.sqrt(2) * torch.lerp(first, second, smooth_u)


def _smooth(t: Tensor) -> Tensor:
    """From 0 to 1 with slopes and bends of 0 at both ends."""
    return t**3 * (t * (6 * t - 15) + 10)


def foreign_textures(x: Tensor, black: Tensor, white: Tensor, rng: torch.Generator) -> Tensor:
    """Another image of the batch for each, turned, enlarged or reduced, recolored, half of them negatives.

    They stay between ``black`` and ``white`` ``(B, 1, 1, 1)``: what no camera gives is told at once.
    """
    batch, _, height, width = x.shape
    other = random_flip(x.roll(1, dims=0), 3, rng)
    along, across = frame(batch, height, width, rng)
    step = log_uniform(batch, 0.5, 2, rng)
    grid = torch.stack([along * step * (2 / width), across * step * (2 / height)], dim=3)
    other = functional.grid_sample(
        other, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    negative = uniform((batch, 1, 1, 1), 0, 1, rng) < 0.5
    other = recolor(torch.where(negative, black + white - other, other), _RECOLORED, rng)
    return torch.maximum(torch.minimum(other, white), black)


def paste_textures(
    x: Tensor, black: Tensor, white: Tensor, rng: torch.Generator, *, threshold: float, share: float
) -> tuple[Tensor, Tensor]:
    """Images with foreign textures where noise is above ``threshold``, and masks ``(B, H, W)`` of 0 and 1.

    A ``share`` of the images get one, at an opacity of .1 to 1.
    """
    batch, _, height, width = x.shape
    drawn = uniform((batch, 1, 1), 0, 1, rng) < share
    masks = ((perlin_noise(batch, height, width, rng) > threshold) & drawn).float()
    alpha = masks[:, None] * uniform((batch, 1, 1, 1), 0.1, 1, rng)
    return x + alpha * (foreign_textures(x, black, white, rng) - x), masks
