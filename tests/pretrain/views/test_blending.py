"""Blended pieces: the equation that is solved, what a piece adds, where, and that no seam tells it."""

import math

import numpy as np
import pytest
import torch
from tiny import generator
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views import blending
from onlygood.pretrain.views.blending import (
    Pieces,
    added_by_piece,
    blend,
    median_filter,
    paste_pieces,
    shown,
    solve_poisson,
)

BLACK, WHITE = torch.full((1, 1, 1, 1), -9.0), torch.full((1, 1, 1, 1), 9.0)
PIECES = Pieces(4, (0.03, 0.4), (0.5, 2.0), mixed=False)


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def clouds(batch: int, side: int, seed: int = 0) -> Tensor:
    """Smooth images, each with a brightness of its own."""
    coarse = noise(batch, 3, 5, 5, seed=seed) + 2 * noise(batch, 3, 1, 1, seed=seed + 1)
    return functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)


def laplacian(u: Tensor) -> Tensor:
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(u.shape[1], 1, 3, 3)
    return functional.conv2d(u, kernel, padding=1, groups=u.shape[1])


# --- the equation -------------------------------------------------------------


def test_poisson_is_a_dense_linear_solve() -> None:
    """Rectangles of different sizes in one batch, each against its own matrix."""
    given = noise(3, 2, 6, 7)
    sizes = [(6, 7), (3, 5), (1, 2)]
    found = solve_poisson(given, *torch.tensor(sizes).T)
    for b, (height, width) in enumerate(sizes):
        n = height * width
        matrix = np.zeros((n, n))
        for i in range(height):
            for j in range(width):
                matrix[i * width + j, i * width + j] = -4
                for y, x in [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]:
                    if 0 <= y < height and 0 <= x < width:
                        matrix[i * width + j, y * width + x] = 1
        right = given[b, :, :height, :width].reshape(2, n).double().numpy()
        expected = np.linalg.solve(matrix, right.T).T.reshape(2, height, width)
        assert found[b, :, :height, :width].numpy() == pytest.approx(expected, abs=1e-5)
        assert not found[b, :, height:].any()
        assert not found[b, :, :, width:].any()


def test_large_rectangles_are_solved_in_float32_under_autocast() -> None:
    given = noise(2, 1, 200, 150)
    sizes = torch.tensor([200, 191]), torch.tensor([149, 150])
    with torch.autocast("cpu", torch.bfloat16):
        found = solve_poisson(given, *sizes)
    error = (laplacian(found) - given)[0, 0, :199, :148]
    assert error.abs().max() < 1e-3


# --- blending -----------------------------------------------------------------


@pytest.mark.parametrize("mixed", [False, True])
def test_what_differs_by_a_constant_adds_nothing(mixed: bool) -> None:
    """A piece of the same structure, lighter or darker, vanishes."""
    target = noise(2, 3, 12, 14)
    sizes = torch.tensor([10, 7]), torch.tensor([12, 5])
    added = blend(target, target + torch.tensor([3.0, -5, 1]).view(3, 1, 1), *sizes, mixed=mixed)
    assert added.abs().max() < 1e-5


def test_the_gradients_are_those_of_the_piece() -> None:
    """Inside, the Laplacian of the sum is the piece's; on the border, the sum is what was there."""
    target, source = noise(1, 2, 12, 12), noise(1, 2, 12, 12, seed=1)
    added = functional.pad(
        blend(target, source, torch.tensor([10]), torch.tensor([10]), mixed=False), (1,) * 4
    )
    torch.testing.assert_close(
        laplacian(target + added)[..., 1:-1, 1:-1], laplacian(source)[..., 1:-1, 1:-1], atol=1e-4, rtol=0
    )


def test_flat_pieces_hide_structure_unless_gradients_are_mixed() -> None:
    """On a flat border, by hand: a flat piece wipes out the bump; mixed, the stronger gradient stays."""
    target, flat = torch.zeros(1, 1, 7, 7), torch.full((1, 1, 7, 7), 2.0)
    target[..., 3, 3] = 1.0
    sizes = torch.tensor([5]), torch.tensor([5])
    torch.testing.assert_close(
        blend(target, flat, *sizes, mixed=False), -target[..., 1:-1, 1:-1], atol=1e-5, rtol=0
    )
    assert blend(target, flat, *sizes, mixed=True).abs().max() < 1e-5
    for mixed in (False, True):  # and a bump on a flat target is added, whichever way
        found = blend(flat, target, *sizes, mixed=mixed)
        torch.testing.assert_close(found, target[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


# --- pieces -------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (32, 56)])
def test_a_piece_is_a_rectangle_inside_and_the_rest_is_untouched(
    height: int, width: int, mixed: bool
) -> None:
    x = noise(200, 1, height, width)
    added = added_by_piece(x, x.roll(1, 0), PIECES._replace(mixed=mixed), generator())[:, 0]
    changed = added != 0
    assert not changed[:, [0, -1]].any()
    assert not changed[:, :, [0, -1]].any()
    rows, columns = changed.any(dim=2), changed.any(dim=1)
    for lines in (rows, columns):  # one run of lines
        assert (lines.int().diff(dim=1) == 1).sum(dim=1).eq(1).all()
    areas = rows.sum(dim=1) * columns.sum(dim=1)
    if not mixed:
        assert torch.equal(changed.sum(dim=(1, 2)), areas)
    assert changed[:, 1:-1, 1:-1].any(dim=0).float().mean() > 0.97  # no place is safe
    assert len(set(areas.tolist())) > 60
    assert rows.sum(dim=1).max() > 0.5 * height
    assert rows.sum(dim=1).min() <= 0.1 * height


def test_the_piece_is_cut_from_the_other_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its own size, on a flat target, by its Laplacian: it is found somewhere in the other image."""
    monkeypatch.setattr(blending, "normal", lambda shape, mean, deviation, rng: torch.full(shape, mean))

    def whole_pixels(shape: tuple[int, ...], low: float, high: float, rng: torch.Generator) -> Tensor:
        return torch.full(shape, 0.5)

    monkeypatch.setattr(blending, "uniform", whole_pixels)
    x, other = torch.zeros(1, 1, 40, 40), noise(1, 1, 40, 40)
    added = added_by_piece(x, other, PIECES, generator())
    # Gamma is .05 · 2 · log 2, so half of a side is .0993 of 40 px: 8 px, from floor(31 / 2) + 1 = 16 on;
    # in the other image the pixel before is the 15.5 - 0.5 = 15th of 0 … 30 · ½.
    inside = (added != 0)[0, 0]
    assert inside.nonzero().min().item() == 16
    assert inside.nonzero().max().item() == 23
    place = 0.5 * (40 - 1 - 9)
    assert place == 15
    torch.testing.assert_close(
        laplacian(added)[..., 16:24, 16:24], laplacian(other)[..., 16:24, 16:24], atol=1e-4, rtol=0
    )


def test_pieces_of_images_that_are_alike_change_nothing() -> None:
    """All images flat, each of its own brightness: with pieces or without, nothing is to be seen."""
    x = noise(8, 3, 1, 1).expand(8, 3, 32, 40).contiguous()
    torch.testing.assert_close(paste_pieces(x, PIECES, BLACK, WHITE, generator()), x, atol=1e-5, rtol=0)


def test_up_to_four_pieces_of_different_images() -> None:
    x = noise(300, 1, 32, 32)
    small = PIECES._replace(sizes=(0.03, 0.05), resize=(1.0, 1.0))
    one = (paste_pieces(x, small._replace(most=1), BLACK, WHITE, generator()) != x).float().sum(dim=(1, 2, 3))
    four = (paste_pieces(x, small, BLACK, WHITE, generator()) != x).float().sum(dim=(1, 2, 3))
    assert one.min() > 0
    assert four.mean() / one.mean() == pytest.approx(
        2.5, rel=0.15
    )  # 1 and each of the others every second time


def test_blending_ends_at_black_and_white_but_keeps_what_was_beyond() -> None:
    x = 3 * noise(8, 1, 32, 32)
    out = paste_pieces(x, PIECES, BLACK / 9, WHITE / 9, generator())
    same = out == x
    assert out[~same].abs().max() <= x[~same].abs().clamp(min=1).max()
    assert x[same].abs().max() > 1
    inside = ~same & (x.abs() < 1)
    assert out[inside].abs().max() <= 1


def test_pasting_is_a_function_of_the_generator_and_leaves_its_input_alone() -> None:
    x = noise(5, 3, 24, 32)
    before = x.clone()
    first = paste_pieces(x, PIECES, BLACK, WHITE, generator(1))
    assert torch.equal(x, before)
    assert torch.equal(first, paste_pieces(x, PIECES, BLACK, WHITE, generator(1)))
    assert not torch.equal(first, paste_pieces(x, PIECES, BLACK, WHITE, generator(2)))


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 8, 30)])
def test_small_batches_of_small_images(batch: int, height: int, width: int) -> None:
    assert paste_pieces(noise(batch, 1, height, width), PIECES, BLACK, WHITE, generator()).isfinite().all()


def test_no_edge_tells_the_border_of_a_piece() -> None:
    """Across the border of pieces of other brightness, steps are like elsewhere; pasted, they are not."""
    x = clouds(64, 48)
    some = PIECES._replace(most=1, sizes=(0.1, 0.3))
    added = added_by_piece(x, x.roll(1, 0), some, generator())
    inside = (added != 0).any(dim=1, keepdim=True)
    crossing = inside.int().diff(dim=3).abs().bool().expand(-1, 3, -1, -1)
    usual = x.diff(dim=3).abs().mean()
    blended = (x + added).diff(dim=3).abs()[crossing].mean()
    pasted = torch.where(inside, x.roll(1, 0), x).diff(dim=3).abs()[crossing].mean()
    assert blended < 2 * usual
    assert pasted > 8 * usual


# --- labels -------------------------------------------------------------------


def test_medians_by_hand() -> None:
    x = torch.arange(25.0).view(1, 5, 5)
    x[0, 2, 2] = 999  # a single pixel does not count
    found = median_filter(x, 3)
    assert found.shape == (1, 5, 5)
    assert found[0, 2, 2] == 13
    assert found[0, 0, 0] == 1  # of 0 0 1 0 0 1 5 5 6: the border is repeated
    assert median_filter(x, 5)[0, 2, 2] == 13


@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 11), (10, 6)])
def test_medians_of_cells(height: int, width: int) -> None:
    """The median of 5 px about each cell of 4 px is one of those at every pixel."""
    x = noise(2, height, width)
    cells = median_filter(x, 5, 4)
    assert cells.shape == (2, math.ceil(height / 4), math.ceil(width / 4))
    full = median_filter(functional.pad(x[:, None], (0, 4, 0, 4), mode="replicate")[:, 0], 5)
    torch.testing.assert_close(cells, full[:, 2::4, 2::4][:, : cells.shape[1], : cells.shape[2]])


def test_what_does_not_show_is_no_defect() -> None:
    """0 at no change, ½ near the middle, 1 at much; at the paper's numbers within .1 of its sigmoid."""
    change = torch.tensor([0.0, 1e-7, 7.0, 30.0, 255.0])
    found = shown(change, 1 / 3, 7.0)
    assert found[0] == 0
    assert found[1] < 1e-6
    assert found[2].item() == pytest.approx(0.5 - 0.5 / (math.exp(7 / 3)), abs=1e-3)
    assert found[4] == 1
    change = torch.linspace(0, 255, 256)
    assert (shown(change, 1 / 3, 7.0).diff() >= 0).all()
    assert (shown(change, 1 / 3, 7.0) - torch.sigmoid((change - 7) / 3)).abs().max() < 0.1
