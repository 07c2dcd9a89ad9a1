"""Images in which nothing but a shortcut tells the answer; ``(count, 3, side, side)`` uint8, from a seed."""

import torch
from torch import Tensor

_XYZ = torch.tensor(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """CIE Lab (D65) ``(B, 3, H, W)`` to sRGB; colors that no screen shows are cut to [0, 1]."""
    light, a, b = lab.unbind(1)
    y = (light + 16) / 116
    bent = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    linear = torch.where(bent > 6 / 29, bent**3, 3 * (6 / 29) ** 2 * (bent - 4 / 29))
    xyz = linear * _XYZ.sum(dim=1).view(3, 1, 1)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(_XYZ), xyz)
    curved = 1.055 * rgb.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(rgb <= 0.0031308, 12.92 * rgb, curved).clamp(0, 1)


def lit(seed: int, count: int, side: int) -> Tensor:
    """Noise, lit from the top left."""
    rng = torch.Generator().manual_seed(seed)
    at = torch.arange(side)
    start = torch.randint(0, 60, (count, 1, 1, 1), generator=rng)
    noise = torch.randint(0, 4, (count, 3, side, side), generator=rng)
    return (start + 3 * at[:, None] + 2 * at + noise).byte()


def fringed(seed: int, count: int, side: int, grid: int) -> Tensor:
    """Noise; towards the edges of a ``grid`` of cells, red lies 1 px further out and blue 1 px further in."""
    noise = torch.rand(count, side + 2, side + 2, generator=torch.Generator().manual_seed(seed))
    at = torch.arange(side)
    out = torch.sign(2 * (at // (side // grid)) - grid + 1)
    places = [at + 1 + k * out for k in (-1, 0, 1)]
    return (torch.stack([noise[:, i[:, None], i] for i in places], 1) * 255).byte()


def two_colors(seed: int, count: int, side: int, *, told: bool) -> Tensor:
    """Red or blue at random, equally light; where ``told``, light stripes go with red."""
    rng = torch.Generator().manual_seed(seed)
    red = torch.rand(count, generator=rng) < 0.5
    striped = red if told else torch.rand(count, generator=rng) < 0.5
    lab = torch.full((count, 3, side, side), 50.0)
    lab[:, 0, :, ::4] += torch.where(striped, 25, 0)[:, None, None]
    lab[:, 1] = torch.where(red, 45.0, 10.0)[:, None, None]
    lab[:, 2] = torch.where(red, 30.0, -45.0)[:, None, None]
    return (lab_to_srgb(lab) * 255).round().byte()
