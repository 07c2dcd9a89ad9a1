"""Tiles of whole batches, without what would tell their places: borders, brightness, color fringes."""

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.views import normal, random_crop
from onlygood.runtime.errors import OnlygoodError

SMALLEST = 4  # px; a smaller tile shows nothing
_ENLARGED = 12  # px; encoders that halve the side four times need as much


def square(x: Tensor, rng: torch.Generator) -> Tensor:
    """The largest squares ``(B, C, S, S)`` of ``(B, C, H, W)``, each at its own place."""
    return x if x.shape[2] == x.shape[3] else random_crop(x, min(x.shape[2:]), rng)


def halves(images: Tensor, words: str) -> tuple[Tensor, Tensor]:
    """The left and the right squares of images ``(B, C, H, 2 H)``.

    Raises:
        OnlygoodError: they have another shape; ``words`` say what takes which pictures side by side.
    """
    height, width = images.shape[2:]
    if width != 2 * height:
        raise OnlygoodError(
            f"{words} side by side: images twice as wide as high, not {width} × {height} px (width × height)"
        )
    return images[..., :height], images[..., height:]


def left_square(images: Tensor) -> Tensor:
    """The left squares of images ``(B, C, H, 2 H)``; images of other shapes as they are."""
    height, width = images.shape[2:]
    return images[..., :height] if width == 2 * height else images


def windows_at(x: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Squares ``(B, C, size, size)`` of ``(B, C, H, W)`` from given first rows and columns, ``(B,)`` each."""
    offsets = torch.arange(size, device=x.device)
    rows, columns = top[:, None] + offsets, left[:, None] + offsets
    which = torch.arange(len(x), device=x.device)[:, None, None]
    return x[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_tiles(
    x: Tensor, grid: int, share: float, jitter: float, rng: torch.Generator, *, channel_shift: int = 0
) -> Tensor:
    """Square tiles ``(B, grid², C, s, s)`` of ``(B, C, H, W)``, row by row, each somewhere in its cell.

    The cells divide the largest square, which lies anywhere in the image. ``share`` is the tile's side in
    cells; what is left is the gap to the next tile. ``jitter`` (0 to 1) is the share of that gap in which the
    tile moves: at 1 it may touch its cell's edge. Each channel moves on its own by up to ``channel_shift``
    further pixels, within the cell (Noroozi & Favaro 2016). Tiles of less than 12 px are stretched to 12 px.

    Raises:
        OnlygoodError: tiles would be smaller than 4 px.
    """
    x = square(x, rng)
    batch, channels, side, _ = x.shape
    cell = side // grid
    tile = round(cell * share)
    if tile < SMALLEST:
        raise OnlygoodError(
            f"images of {side} px are too small for {grid}×{grid} tiles of {tile} px; use larger images, "
            "a larger views.size or fewer tiles"
        )
    slack = cell - tile
    low = round(slack * (1 - jitter) / 2)
    high = slack - low
    shift = min(channel_shift, high - low)
    count = grid * grid

    def starts(cells: Tensor) -> Tensor:
        """First pixels ``(B, T, C)`` along one axis."""
        shape = (batch, count, 1)
        place = torch.randint(low, high - shift + 1, shape, generator=rng, device=rng.device)
        own = torch.randint(0, shift + 1, (batch, count, channels), generator=rng, device=rng.device)
        return cells[None, :, None] * cell + place + own

    cells = torch.arange(count, device=x.device)
    offsets = torch.arange(tile, device=x.device)
    rows = starts(cells // grid)[..., None] + offsets
    columns = starts(cells % grid)[..., None] + offsets
    which = torch.arange(batch, device=x.device).view(-1, 1, 1, 1, 1)
    channel = torch.arange(channels, device=x.device).view(1, 1, -1, 1, 1)
    return _stretched(x[which, channel, rows[..., :, None], columns[..., None, :]])


def _stretched(tiles: Tensor) -> Tensor:
    """Tiles ``(B, T, C, s, s)``; those of less than 12 px are stretched to 12 px, bilinearly.

    Each is stretched by itself after it was cut. Tiles of a stretched image would differ in where its old
    pixels fall between the new ones, which tells their places.
    """
    if tiles.shape[-1] >= _ENLARGED:
        return tiles
    larger = functional.interpolate(tiles.flatten(0, 1), (_ENLARGED, _ENLARGED), mode="bilinear")
    return larger.view(*tiles.shape[:3], _ENLARGED, _ENLARGED)


def standardize_tiles(tiles: Tensor) -> Tensor:
    """Each channel of each tile ``(…, C, s, s)`` to mean 0 and deviation 1: lighting does not tell a place.

    A hundredth is added to the deviation (half a gray level of usual images), so flat tiles stay flat.
    """
    tiles = tiles - tiles.mean(dim=(-2, -1), keepdim=True)
    return tiles / (tiles.square().mean(dim=(-2, -1), keepdim=True).sqrt() + 0.01)


def drop_colors(tiles: Tensor, rng: torch.Generator, noise: float = 0.1) -> Tensor:
    """Keep one random channel of each tile ``(B, T, C, s, s)`` and fill the others with noise.

    The color fringes of lenses grow towards the corners and would tell a tile's place (Doersch et al. 2015,
    arXiv:1505.05192).
    """
    batch, count, channels = tiles.shape[:3]
    if channels == 1:
        return tiles
    kept = torch.randint(channels, (batch, count, 1), generator=rng, device=rng.device)
    mask = (kept == torch.arange(channels, device=tiles.device))[..., None, None]
    return torch.where(mask, tiles, normal(tuple(tiles.shape), 0.0, noise, rng))
