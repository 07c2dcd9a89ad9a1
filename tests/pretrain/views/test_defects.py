"""Painted defects: what is painted, where, and that nothing else changes. Ranges are left to the tuning."""

import pytest
import torch
from tiny import generator
from torch import Tensor

from onlygood.pretrain.views import defects
from onlygood.pretrain.views.defects import (
    blob_masks,
    cut_paste,
    fill,
    line_masks,
    paste_bands,
    paste_defects,
)


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def ramps(batch: int, height: int, width: int) -> Tensor:
    """``(B, 2, H, W)``: row and column of every pixel, from which bilinear sampling is exact."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([y, x]).expand(batch, -1, -1, -1)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """``(B,)`` of the first channels of two batches."""
    a, b = (x[:, 0].flatten(1) - x[:, 0].flatten(1).mean(dim=1, keepdim=True) for x in (a, b))
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))


# --- masks --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blob", "line"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96)])
def test_masks_are_soft_small_and_everywhere(kind: str, height: int, width: int) -> None:
    if kind == "blob":
        masks = blob_masks(300, height, width, generator())
    else:
        masks = line_masks(300, height, width, generator(), lengths=(10, 60), widths=(2, 5))
    assert masks.shape == (300, height, width)
    assert masks.min() >= 0
    assert masks.max() <= 1
    inside = masks > 0.5
    assert inside.any(dim=2).any(dim=1).float().mean() > 0.9  # nearly all images have something to see
    assert inside.float().mean() < 0.2  # and much that is not covered
    assert ((masks > 0.1) & (masks < 0.9)).any(dim=2).any(dim=1).float().mean() > 0.9  # soft outlines
    places = inside.float().mean(dim=0)
    assert (places > 0).float().mean() > 0.98  # no place is safe, no half preferred
    halves = [places[: height // 2], places[height // 2 :], places[:, : width // 2], places[:, width // 2 :]]
    assert max(half.mean() for half in halves) < 1.35 * min(half.mean() for half in halves)
    assert len({float(mask.sum()) for mask in masks}) > 290  # every one is another


def test_a_straight_line_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Place, angle, length and width fixed, no bend: a horizontal bar, half covered at its borders."""

    def fixed(shape: tuple[int, ...], low: float, high: float, rng: torch.Generator) -> Tensor:
        return torch.full(shape, low if (low, high) == (0, torch.pi) else (low + high) / 2)

    monkeypatch.setattr(defects, "uniform", fixed)
    monkeypatch.setattr(defects, "normal", lambda shape, mean, deviation, rng: torch.zeros(shape))
    (mask,) = line_masks(1, 65, 65, generator(), lengths=(20, 20), widths=(8, 8))
    # The center is at 32.5: x from 22.5 to 42.5, y from 28.5 to 36.5.
    assert mask[32, 24:42].min() > 0.9
    assert mask[32, 19] < 0.01
    assert mask[32, 46] < 0.01
    assert 0.1 < mask[28, 32] < 0.5 < mask[29, 32] < 0.9
    torch.testing.assert_close(mask[29, 32], mask[36, 32])
    assert mask[24, 32] < 0.01


# --- what defects are made of -------------------------------------------------


def test_fill_is_another_image_turned_or_the_image_itself_shifted() -> None:
    x = noise(400, 3, 16, 16)
    out = fill(x, generator())
    other = x.roll(1, dims=0)
    own = correlation(out, x) > 0.999
    mirrored = correlation(out, other.flip(2)).abs() > 0.999
    turned = correlation(out, other.transpose(2, 3).flip(2)).abs() > 0.999
    assert (own.int() + mirrored.int() + turned.int() == 1).all()
    assert all(kind.float().mean() > 0.15 for kind in (own, mirrored, turned))
    shift = (out - x)[own]
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-5, rtol=0)
    darker = (shift[:, :, 0, 0].mean(dim=1) < 0).float().mean()
    assert 0.35 < darker < 0.65


def test_fill_of_oblong_images_is_never_turned() -> None:
    x = noise(50, 1, 12, 16)
    out, other = fill(x, generator()), x.roll(1, dims=0).flip(2)
    assert ((correlation(out, x) > 0.999) | (correlation(out, other).abs() > 0.999)).all()


# --- pasting ------------------------------------------------------------------


def test_only_what_the_mask_covers_is_changed() -> None:
    x = noise(200, 3, 64, 64)
    out, masks = paste_defects(x, generator())
    change = (out - x).abs().amax(dim=1)
    assert change[masks < 1e-7].max() < 1e-5
    assert (masks < 1e-7).float().mean() > 0.5
    assert (change.amax(dim=(1, 2)) > 0.1)[(masks > 0.9).any(dim=2).any(dim=1)].all()


def test_no_contrast_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasting what is there already leaves the image as it was, bit for bit: only the defect is added."""
    monkeypatch.setattr(defects, "fill", lambda x, rng: x)
    x = noise(20, 3, 32, 32)
    assert torch.equal(paste_defects(x, generator())[0], x)


def test_pasting_is_a_function_of_the_generator_and_leaves_its_input_alone() -> None:
    x = noise(8, 3, 32, 40)
    before = x.clone()
    first = paste_defects(x, generator(1))
    assert torch.equal(x, before)
    for a, b in zip(first, paste_defects(x, generator(1)), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0], paste_defects(x, generator(2))[0])


# --- CutPaste -----------------------------------------------------------------


@pytest.mark.parametrize("scar", [False, True])
def test_a_cut_is_a_piece_of_the_same_image_elsewhere(scar: bool) -> None:
    """On ramps every pixel of the piece tells where it came from, up to the change of brightness."""
    side = 64
    x = ramps(200, side, side) + 100  # far from zero: every pixel of the piece is seen to change
    out = cut_paste(x, generator(), scar=scar)
    inside = (out != x).all(dim=1)
    changed = (out != x).any(dim=1)
    assert (changed & ~inside).float().mean() < 1e-4  # outside, bit for bit what it was
    area = changed.float().mean(dim=(1, 2)) * side**2
    low, high = (2 * 10 * 0.6, 16 * 25 * 1.2) if scar else (0.02 * side**2 * 0.8, 0.15 * side**2 * 1.2)
    assert low < area.min()
    assert area.max() < high
    assert area.max() > 3 * area.min()
    angles = []
    for image, mask in zip(out, changed, strict=True):
        core = mask[1:-1, 1:-1] & mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
        along_x = (image[:, 1:-1, 2:] - image[:, 1:-1, :-2])[:, core] / 2  # (2, n): of row and of column
        if not along_x.shape[1]:
            continue  # a scar of two pixels has no inside
        step = along_x.median(dim=1).values
        assert 0.9 - 1e-3 < step.norm() < 1.1 + 1e-3  # contrast changes by up to a tenth, size does not
        angles.append(torch.atan2(step[0], step[1]).abs())
    largest = torch.stack(angles).max()
    assert torch.pi / 4 * 0.9 < largest < torch.pi / 4 + 1e-3 if scar else largest < 1e-3


@pytest.mark.parametrize("scar", [False, True])
def test_cuts_come_from_everywhere_and_go_everywhere(scar: bool) -> None:
    """No place inside is left out, and the two halves of the image give and take alike."""
    side = 32
    x = ramps(600, side, side) - (side - 1) / 2  # about zero, so that a tenth more or less says little
    out = cut_paste(x, generator(), scar=scar)
    changed = (out != x).any(dim=1)
    assert changed[:, 2:-2, 2:-2].any(dim=0).all()
    for axis in range(2):
        to = torch.stack([x[0, axis][mask].mean() for mask in changed])
        source = torch.stack([image[axis][mask].mean() for image, mask in zip(out, changed, strict=True)])
        assert abs(to.mean()) < 1.5
        assert abs(source.mean()) < 1.5
        assert abs(correlation(to.view(1, 1, -1), source.view(1, 1, -1)).item()) < 0.15


@pytest.mark.parametrize("scar", [False, True])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 40)])
def test_small_and_oblong_images_can_be_cut(scar: bool, height: int, width: int) -> None:
    out = cut_paste(noise(50, 1, height, width), generator(), scar=scar)
    assert out.shape == (50, 1, height, width)
    assert out.isfinite().all()


def test_cutting_leaves_its_input_alone() -> None:
    x = noise(4, 1, 16, 16)
    before = x.clone()
    assert torch.equal(cut_paste(x, generator(1), scar=False), cut_paste(x, generator(1), scar=False))
    assert torch.equal(x, before)


def test_a_band_is_of_one_color_and_may_fill_the_view() -> None:
    """Where it lies, it takes half or more of a checkerboard's contrast."""
    x = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    x = x.expand(256, 1, 64, 64)
    banded = paste_bands(x, generator(3))
    contrast = (banded[:, 0, :, 1:] - banded[:, 0, :, :-1]).abs()
    covered = (contrast < 1.5).float().mean(dim=(1, 2))
    assert ((banded - x).abs().amax(dim=(1, 2, 3)) > 0.5).float().mean() > 0.9
    assert covered.max() > 0.6
    assert 0.1 < covered.mean() < 0.5
