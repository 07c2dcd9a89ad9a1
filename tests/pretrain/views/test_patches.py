"""Tiles, and that nothing but their content is left in them."""

import pytest
import torch
from tiny import generator
from torch import Tensor

from onlygood.pretrain.views.patches import cut_tiles, drop_colors, square, standardize_tiles
from onlygood.runtime.errors import OnlygoodError


def coordinates(batch: int, side: int) -> Tensor:
    """Channel 0 holds each pixel's row, channel 1 its column."""
    at = torch.arange(side).float()
    return torch.stack(torch.meshgrid(at, at, indexing="ij")).expand(batch, -1, -1, -1)


def corners(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """First row and first column ``(B, T)`` of tiles of coordinates, which must be whole windows."""
    top, left = tiles[:, :, 0, 0, 0], tiles[:, :, 1, 0, 0]
    steps = torch.arange(tiles.shape[-1]).float()
    assert torch.equal(tiles[:, :, 0], (top[..., None, None] + steps[:, None]).expand_as(tiles[:, :, 0]))
    assert torch.equal(tiles[:, :, 1], (left[..., None, None] + steps).expand_as(tiles[:, :, 1]))
    return top, left


def test_tiles_lie_row_by_row_each_in_its_cell() -> None:
    tiles = cut_tiles(coordinates(300, 60), 3, 0.6, 1.0, generator())
    assert tiles.shape == (300, 9, 2, 12, 12)
    top, left = corners(tiles)
    index = torch.arange(9)
    for first, cell in ((top, index // 3), (left, index % 3)):
        place = first - cell * 20
        assert place.amin(dim=0).eq(0).all()  # every place in the gap of 8 is taken, in every cell
        assert place.amax(dim=0).eq(8).all()
        assert len(set(place.flatten().tolist())) == 9


def test_jitter_is_drawn_for_each_image_and_tile() -> None:
    top, left = corners(cut_tiles(coordinates(50, 48), 2, 0.5, 1.0, generator()))
    places = torch.stack([top - torch.arange(4) // 2 * 24, left - torch.arange(4) % 2 * 24]).flatten(1)
    assert (torch.corrcoef(places) - torch.eye(2)).abs().max() < 0.25
    assert (torch.corrcoef(top.T) - torch.eye(4)).abs().max() < 0.45


def test_part_of_the_jitter_keeps_a_gap() -> None:
    top, _ = corners(cut_tiles(coordinates(200, 54), 3, 0.67, 0.5, generator()))
    place = top - torch.arange(9) // 3 * 18
    assert sorted(set(place.flatten().tolist())) == [2, 3, 4]  # of 0 to 6: neighbors stay 4 px apart


def test_channels_shift_on_their_own_within_the_cell() -> None:
    x = coordinates(600, 60)[:, :1].expand(-1, 3, -1, -1)
    first = cut_tiles(x, 3, 0.6, 1.0, generator(), channel_shift=2)[:, :, :, 0, 0]
    apart = first[:, :, 0] - first[:, :, 1]
    assert sorted(set(apart.flatten().tolist())) == [-2, -1, 0, 1, 2]
    place = first - (torch.arange(9) // 3 * 20)[:, None]
    assert place.min() == 0
    assert place.max() == 8


def test_of_an_oblong_the_grid_lies_anywhere() -> None:
    x = torch.arange(48).float().expand(64, 1, 24, 48)
    tiles = cut_tiles(x, 2, 1.0, 1.0, generator())
    assert tiles.shape == (64, 4, 1, 12, 12)
    left = tiles[:, :, 0, 0, 0]
    assert torch.equal(left - left[:, :1], torch.tensor([0.0, 12, 0, 12]).expand(64, -1))
    assert len(set(left[:, 0].tolist())) > 10


def test_squares_of_oblong_images_lie_anywhere() -> None:
    x = torch.arange(24).float().expand(64, 1, 16, 24)
    cut = square(x, generator())
    assert cut.shape == (64, 1, 16, 16)
    assert len(set(cut[:, 0, 0, 0].flatten().tolist())) > 5
    assert square(cut, generator()) is cut


def test_small_tiles_are_stretched_each_by_itself() -> None:
    """Without the content, the stretched grid is the same in every tile; larger tiles are left alone."""
    larger = cut_tiles(coordinates(20, 30), 3, 0.6, 1.0, generator())  # cells of 10 px, tiles of 6 px
    assert larger.shape == (20, 9, 2, 12, 12)
    middle = torch.arange(12) / 2 - 0.25  # of each new pixel, in old ones; the border repeats
    top = larger[:, :, :1, :1, :1]
    assert torch.equal(top, top.round())
    expected = top + middle.clamp(0, 5)[:, None]
    torch.testing.assert_close(larger[:, :, :1], expected.expand(-1, -1, -1, -1, 12))


def test_lighting_is_gone_from_standardized_tiles() -> None:
    x = torch.randn(2, 4, 3, 8, 8, generator=generator())
    gain = torch.rand(2, 4, 3, 1, 1, generator=generator(1)) + 0.5
    once, lit = standardize_tiles(x), standardize_tiles(x * gain + 3 * gain)
    torch.testing.assert_close(once, lit, atol=0.05, rtol=0)
    torch.testing.assert_close(once.mean(dim=(3, 4)), torch.zeros(2, 4, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(once.std(dim=(3, 4), correction=0), torch.ones(2, 4, 3), atol=0.02, rtol=0)
    assert standardize_tiles(torch.full((1, 1, 1, 8, 8), 0.3)).abs().max() < 1e-4


def test_one_random_channel_of_each_tile_is_kept() -> None:
    tiles = torch.randn(40, 9, 3, 6, 6, generator=generator())
    dropped = drop_colors(tiles, generator(1))
    kept = (dropped == tiles).all(dim=(3, 4))
    assert kept.sum(dim=2).eq(1).all()
    assert kept.sum(dim=(0, 1)).min() > 90  # of 360, a third each
    assert kept.float().std(dim=1).gt(0).any(dim=1).all()  # not one choice for all tiles of an image
    noise = dropped[~kept]
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    assert abs(float(torch.corrcoef(torch.stack([noise.flatten(), tiles[~kept].flatten()]))[0, 1])) < 0.02
    gray = tiles[:, :, :1]
    assert drop_colors(gray, generator()) is gray


def test_too_small_to_cut() -> None:
    with pytest.raises(OnlygoodError, match=r"images of 12 px are too small for 3×3 tiles of 3 px"):
        cut_tiles(coordinates(1, 12), 3, 0.75, 1.0, generator())
