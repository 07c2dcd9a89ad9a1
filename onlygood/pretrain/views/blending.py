"""Pieces of other images, blended in by their gradients so that no seam tells them, for whole batches.

Poisson blending (Pérez et al. 2003), as in NSA (Schlüter et al. 2022, arXiv:2109.15222). A piece is a
rectangle. What blending adds to the image has a given Laplacian inside and is 0 on the border, so sine
transforms give it exactly; each piece of a batch has those of its own size. Images are float ``(B, C, H,
W)``. Nothing loops over images.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.views import normal, uniform


class Pieces(NamedTuple):
    """How pieces are drawn."""

    most: int  # to an image: the first is certain, each of the others comes to every second image
    sizes: tuple[float, float]  # least and largest half of a side, as a share of the image's
    resize: tuple[float, float]  # least and largest factor by which a piece is resized
    mixed: bool  # whether the stronger one of the two gradients shows, instead of the piece's


def paste_pieces(x: Tensor, pieces: Pieces, black: Tensor, white: Tensor, rng: torch.Generator) -> Tensor:
    """Images with pieces of other images of the batch; pixels that no piece covers are what they were.

    ``black`` and ``white`` ``(B, 1, 1, 1)`` are the limits of what blending may make.
    """
    out = x
    for piece in range(pieces.most):
        other = x.roll(1 + piece % max(1, len(x) - 1), dims=0)
        if piece == 0:
            out = out + added_by_piece(out, other, pieces, rng)
            continue
        chosen = (uniform((len(x),), 0, 1, rng) < 0.5).nonzero()[:, 0]
        if len(chosen):
            some = out[chosen]
            out = out.index_copy(0, chosen, some + added_by_piece(some, other[chosen], pieces, rng))
    return torch.maximum(torch.minimum(out, torch.maximum(x, white)), torch.minimum(x, black))


def added_by_piece(x: Tensor, other: Tensor, pieces: Pieces, rng: torch.Generator) -> Tensor:
    """What blending a piece of ``other`` into ``x`` adds, both and the result ``(B, C, H, W)``.

    Halves of sides are Gamma(2, .05) + .03 of the image's, and the factor of resizing is N(1, .5), as in NSA.
    """
    height, width = x.shape[2:]
    factor = normal((len(x),), 1, 0.5, rng).clamp(*pieces.resize)
    rows, top, from_top = _place(height, factor, pieces, rng)
    columns, left, from_left = _place(width, factor, pieces, rng)
    most = torch.stack([rows.max(), columns.max()]).tolist()
    at_rows, at_columns = (torch.arange(n + 2, device=x.device) for n in most)
    target = _pick(
        x,
        (top[:, None] + at_rows).clamp(max=height - 1),
        (left[:, None] + at_columns).clamp(max=width - 1),
    )
    down = (from_top[:, None] + at_rows / factor[:, None]) * (2 / height) + (1 / height - 1)
    right = (from_left[:, None] + at_columns / factor[:, None]) * (2 / width) + (1 / width - 1)
    shape = (len(x), most[0] + 2, most[1] + 2)
    grid = torch.stack([right[:, None, :].expand(shape), down[:, :, None].expand(shape)], dim=3)
    source = functional.grid_sample(
        other, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    added = functional.pad(blend(target, source, rows, columns, mixed=pieces.mixed), (1, 1, 1, 1))
    return _pick(
        added,
        (torch.arange(height, device=x.device) - top[:, None]).clamp(0, most[0] + 1),
        (torch.arange(width, device=x.device) - left[:, None]).clamp(0, most[1] + 1),
    )


def _pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``(B, C, h, w)``: of each image its own rows ``(B, h)`` and columns ``(B, w)``."""
    which = torch.arange(len(x), device=x.device)[:, None, None]
    return x[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _place(side: int, factor: Tensor, pieces: Pieces, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Along one side, each ``(B,)``: pixels of a piece, the pixel before it, and where that is in the other.

    Pieces are at least 2 px, lie inside with a pixel around them, and come from inside, if they fit.
    """
    shape = (len(factor),)
    gamma = -0.05 * ((1 - uniform(shape, 0, 1, rng)).log() + (1 - uniform(shape, 0, 1, rng)).log())
    half = (gamma + 0.03).clamp(*pieces.sizes) * factor
    count = (2 * half * side).round().clamp(2, side - 2)
    before = (uniform(shape, 0, 1, rng) * (side - 1 - count)).floor()
    origin = uniform(shape, 0, 1, rng) * (side - 1 - (count + 1) / factor)
    return count.long(), before.long(), origin


def blend(target: Tensor, source: Tensor, heights: Tensor, widths: Tensor, *, mixed: bool) -> Tensor:
    """What is added to ``target`` ``(B, C, M + 2, N + 2)`` within its outermost pixels, ``(B, C, M, N)``.

    The sum has the gradients of ``source``, or where ``mixed`` the stronger ones of the two, and no seam: the
    first ``heights`` ``(B,)`` rows and ``widths`` columns within the border are changed, the rest gets 0.
    """
    down = _excess(target[..., 1:-1], source[..., 1:-1], 2, mixed=mixed)
    right = _excess(target[:, :, 1:-1], source[:, :, 1:-1], 3, mixed=mixed)
    return solve_poisson(down.diff(dim=2) + right.diff(dim=3), heights, widths)


def _excess(target: Tensor, source: Tensor, dim: int, *, mixed: bool) -> Tensor:
    """By how much the wanted differences of neighbors along ``dim`` differ from those of ``target``."""
    old, new = target.diff(dim=dim), source.diff(dim=dim)
    if not mixed:
        return new - old
    stronger = new.abs().sum(dim=1, keepdim=True) > old.abs().sum(dim=1, keepdim=True)
    return torch.where(stronger, new - old, 0.0)


def solve_poisson(laplacian: Tensor, heights: Tensor, widths: Tensor) -> Tensor:
    """``(B, C, M, N)`` whose five-point Laplacian is the given one, and 0 beyond ``heights`` and ``widths``.

    Laplacians beyond the first ``heights`` ``(B,)`` rows and ``widths`` columns do not count.
    """
    with torch.autocast(laplacian.device.type, enabled=False):
        rows, row_values = _sines(heights, laplacian.shape[2])
        columns, column_values = _sines(widths, laplacian.shape[3])
        values = row_values[:, None, :, None] + column_values[:, None, None, :]
        rows, columns = rows[:, None], columns[:, None]
        return rows @ ((rows @ laplacian.float() @ columns) / values) @ columns


def _sines(counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors ``(B, most, most)`` and values ``(B, most)`` of second differences between two zeros.

    Each matrix is its own transpose and, within its first ``counts`` rows and columns, its own inverse; the
    rest is 0.
    """
    at = torch.arange(1, most + 1, device=counts.device)
    period = (counts + 1)[:, None]
    inside = at < period
    turns = (at[:, None] * at) % (2 * period[:, :, None])  # exact, before the sine of large numbers
    sines = torch.sin(turns * (math.pi / period[:, :, None])) * (2 / period[:, :, None]).sqrt()
    values = 2 * torch.cos(at * (math.pi / period)) - 2
    return sines * (inside[:, :, None] & inside[:, None, :]), torch.where(inside, values, -1.0)


def median_filter(x: Tensor, side: int, stride: int = 1) -> Tensor:
    """Medians ``(B, h, w)`` of squares of ``side`` px about the cells of ``stride`` px of ``(B, H, W)``.

    Cells at the right and the bottom may be incomplete; the border is repeated.
    """
    height, width = (-(-n // stride) for n in x.shape[1:])
    before = (side - stride) // 2
    bottom = (height - 1) * stride + side - before - x.shape[1]
    right = (width - 1) * stride + side - before - x.shape[2]
    padded = functional.pad(x[:, None], (before, right, before, bottom), mode="replicate")
    windows = functional.unfold(padded, side, stride=stride)
    return windows.median(dim=1).values.view(-1, height, width)


def shown(change: Tensor, slope: float, middle: float) -> Tensor:
    """How much of a defect a change is, in gray levels, from 0 (nothing shows) to 1.

    It is NSA's logistic function, sigmoid(``slope`` · (change - ``middle``)), moved and stretched so that no
    change is exactly 0: the sigmoid alone calls it 0.09.
    """
    least = 1 / (1 + math.exp(slope * middle))
    return ((torch.sigmoid(slope * (change - middle)) - least) / (1 - least)).clamp(min=0)
