"""Synthetic defects for whole batches: soft masks of blobs, scars and cracks, CutPaste's cuts, and mixtures.

Images are standardized float ``(B, C, H, W)``, so brightness is in units of the image's own contrast. Lengths
are in pixels. Nothing loops over images.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.views import normal, uniform
from onlygood.runtime.strict import Strict


class Mixture(Strict):
    """Kinds of defects: shares of images get a scar cut from the same image, or a wide band of one color.

    Into the others up to ``painted`` defects each are painted, of which a share is ``fine`` hairlines.
    Without bands, what fills a view looked good: gaps in walls of brick, wider than any blob, went unseen.
    """

    scars: float = Field(default=0.1, ge=0, le=1)
    bands: float = Field(default=0.15, ge=0, le=1)
    painted: int = Field(default=4, ge=1)
    fine: float = Field(default=0.25, ge=0, le=1)


_FURTHER = 0.6  # the probability of each further defect


def frame(batch: int, height: int, width: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pixel coordinates ``(B, H, W)`` along and across a random line through a random place."""
    device = rng.device
    y = torch.arange(height, device=device).view(1, height, 1) - uniform((batch, 1, 1), 0, height, rng)
    x = torch.arange(width, device=device).view(1, 1, width) - uniform((batch, 1, 1), 0, width, rng)
    angle = uniform((batch, 1, 1), 0, torch.pi, rng)
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def log_uniform(batch: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    """Draws ``(B, 1, 1)`` for which every octave is equally likely."""
    span = torch.tensor([low, high]).log()
    return uniform((batch, 1, 1), float(span[0]), float(span[1]), rng).exp()


def blob_masks(batch: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Soft ellipses ``(B, H, W)`` with radii of 3 to 24 px; half of them have a ragged outline."""
    along, across = frame(batch, height, width, rng)
    a, b = log_uniform(batch, 3, 24, rng), log_uniform(batch, 3, 24, rng)
    inside = 1 - ((along / a) ** 2 + (across / b) ** 2).sqrt()
    noise = normal((batch, 1, 8, 8), 0, 1, rng)
    noise = functional.interpolate(noise, (height, width), mode="bilinear", align_corners=True)[:, 0]
    ragged = (uniform((batch, 1, 1), 0, 1, rng) < 0.5) * uniform((batch, 1, 1), 0.2, 0.8, rng)
    softness = log_uniform(batch, 0.03, 0.33, rng)
    return torch.sigmoid((inside + ragged * noise) / softness)


def line_masks(
    batch: int,
    height: int,
    width: int,
    rng: torch.Generator,
    *,
    lengths: tuple[float, float],
    widths: tuple[float, float],
) -> Tensor:
    """Soft bent lines ``(B, H, W)``; half of them zigzag like a crack, the others curve like a scar."""
    along, across = frame(batch, height, width, rng)
    half = log_uniform(batch, *lengths, rng) / 2
    thick = log_uniform(batch, *widths, rng) / 2
    t = (along / half).clamp(-1, 1)
    bend = normal((batch, 1, 1), 0, 0.25, rng) * half * t**2
    zigzag = normal((batch, 16), 0, 1, rng).cumsum(dim=1)
    zigzag = (zigzag - zigzag.mean(dim=1, keepdim=True)) * uniform((batch, 1), 0, 0.12, rng)
    place = (t + 1) * 7.5
    low = place.long().clamp(max=14)
    left, right = _take(zigzag, low), _take(zigzag, low + 1)
    crooked = (left + (right - left) * (place - low)) * half
    cracked = uniform((batch, 1, 1), 0, 1, rng) < 0.5
    distance = (across - torch.where(cracked, crooked, bend)).abs()
    edge = uniform((batch, 1, 1), 0.2, 0.6, rng)
    ends = torch.sigmoid((half - along.abs()) / edge)
    return torch.sigmoid((thick - distance) / edge) * ends


def _take(values: Tensor, index: Tensor) -> Tensor:
    """``values[b, index[b]]`` for ``(B, K)`` values and ``(B, H, W)`` indices."""
    return values.gather(1, index.flatten(1)).view_as(index)


def fill(x: Tensor, rng: torch.Generator) -> Tensor:
    """What defects are made of, ``(B, C, H, W)``: foreign texture (60 %), or the image, lighter or darker.

    Foreign texture is another image of the batch, turned or mirrored, with its own contrast and brightness.
    """
    batch, channels = x.shape[:2]
    other = x.roll(1, dims=0)
    if x.shape[2] == x.shape[3]:
        turn = uniform((batch, 1, 1, 1), 0, 1, rng)
        other = torch.where(turn < 0.5, other.transpose(2, 3), other)
    other = other.flip(2) * normal((batch, 1, 1, 1), 1, 0.4, rng) + normal(
        (batch, channels, 1, 1), 0, 0.6, rng
    )
    sign = (uniform((batch, 1, 1, 1), 0, 1, rng) < 0.5).float() * 2 - 1
    strength = log_uniform(batch, 0.4, 4, rng)[:, None]
    shifted = x + sign * strength + normal((batch, channels, 1, 1), 0, 0.1, rng)
    foreign = uniform((batch, 1, 1, 1), 0, 1, rng) < 0.6
    return torch.where(foreign, other, shifted)


def paste_defects(x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """One soft-masked defect in every image: the changed images and the masks ``(B, H, W)`` in [0, 1]."""
    batch, _, height, width = x.shape
    blobs = blob_masks(batch, height, width, rng)
    lines = line_masks(batch, height, width, rng, lengths=(10, 80), widths=(1.5, 6))
    mask = torch.where(uniform((batch, 1, 1), 0, 1, rng) < 0.55, blobs, lines)
    opacity = uniform((batch, 1, 1), 0.5, 1, rng)
    alpha = (mask * opacity)[:, None]
    return x + alpha * (fill(x, rng) - x), mask


def cut_paste(x: Tensor, rng: torch.Generator, *, scar: bool) -> Tensor:
    """A piece of each image pasted elsewhere in the same image (CutPaste, Li et al. 2021, arXiv:2104.04015).

    A patch covers 2 to 15 % of the area at an aspect of up to 3.3. A scar is 2 to 16 px wide, 10 to 25 px
    long and turned by up to 45 degrees. Brightness and contrast of the piece change by up to a tenth.
    """
    batch, _, height, width = x.shape
    if scar:
        across, along = uniform((batch, 1, 1), 2, 16, rng), uniform((batch, 1, 1), 10, 25, rng)
        angle = uniform((batch, 1, 1), -torch.pi / 4, torch.pi / 4, rng)
    else:
        area = uniform((batch, 1, 1), 0.02, 0.15, rng) * height * width
        aspect = uniform((batch, 1, 1), -1.194, 1.194, rng).exp()
        across, along = (area * aspect).sqrt(), (area / aspect).sqrt()
        angle = torch.zeros(batch, 1, 1, device=x.device)
    rows = torch.arange(height, device=x.device).view(1, height, 1)
    columns = torch.arange(width, device=x.device).view(1, 1, width)
    # Centers keep the piece inside, if it fits; a piece as large as the image lies in the middle.
    reach_x, reach_y = across.clamp(max=width - 1) / 2, along.clamp(max=height - 1) / 2
    to_x, from_x = (reach_x + uniform((batch, 1, 1), 0, 1, rng) * (width - 2 * reach_x) for _ in range(2))
    to_y, from_y = (reach_y + uniform((batch, 1, 1), 0, 1, rng) * (height - 2 * reach_y) for _ in range(2))
    dx, dy = columns - to_x, rows - to_y
    u, v = dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()
    inside = (u.abs() <= across / 2) & (v.abs() <= along / 2)
    grid = torch.stack([(from_x + u + 0.5) * 2 / width - 1, (from_y + v + 0.5) * 2 / height - 1], dim=-1)
    piece = functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    piece = piece * uniform((batch, 1, 1, 1), 0.9, 1.1, rng) + uniform((batch, 1, 1, 1), -0.1, 0.1, rng)
    return torch.where(inside[:, None], piece, x)


def paste_hairlines(x: Tensor, rng: torch.Generator) -> Tensor:
    """One line of 1 or 2 px in every image, darker (70 %) or lighter than what it crosses."""
    batch, _, height, width = x.shape
    mask = line_masks(batch, height, width, rng, lengths=(12, 80), widths=(0.8, 2))
    sign = torch.where(uniform((batch, 1, 1), 0, 1, rng) < 0.7, -1.0, 1.0)
    strength = sign * log_uniform(batch, 0.6, 3, rng) * uniform((batch, 1, 1), 0.5, 1, rng)
    return x + (mask * strength)[:, None]


def paste_bands(x: Tensor, rng: torch.Generator) -> Tensor:
    """One wide band of one color in every image: a gap, a shadow's edge, something that hangs in front."""
    batch, channels, height, width = x.shape
    mask = line_masks(batch, height, width, rng, lengths=(40, 250), widths=(5, 50))
    color = normal((batch, 1, 1, 1), 0, 2.5, rng) + normal((batch, channels, 1, 1), 0, 0.3, rng)
    grain = normal(tuple(x.shape), 0, 0.1, rng)
    opacity = uniform((batch, 1, 1), 0.5, 1, rng)
    return x + (mask * opacity)[:, None] * (color + grain - x)


def paint(x: Tensor, mixture: Mixture, rng: torch.Generator) -> Tensor:
    """One to ``mixture.painted`` soft-masked defects in every image; the first is certain."""
    for number in range(mixture.painted):
        share = (len(x), 1, 1, 1)
        fine = uniform(share, 0, 1, rng) < mixture.fine
        changed = torch.where(fine, paste_hairlines(x, rng), paste_defects(x, rng)[0])
        x = changed if number == 0 else torch.where(uniform(share, 0, 1, rng) < _FURTHER, changed, x)
    return x


def spoil(x: Tensor, mixture: Mixture, rng: torch.Generator) -> Tensor:
    """Every image with defects of some kind; which image gets which kind is decided by its place."""
    scars, bands = round(mixture.scars * len(x)), round(mixture.bands * len(x))
    found = []
    if scars:
        found.append(cut_paste(x[:scars], rng, scar=True))
    if bands:
        found.append(paste_bands(x[scars : scars + bands], rng))
    if scars + bands < len(x):
        found.append(paint(x[scars + bands :], mixture, rng))
    return torch.cat(found)
