"""Perlin noise by hand and by its corners; textures and where they are pasted."""

import math

import pytest
import torch
from tiny import generator
from torch import Tensor

from onlygood.pretrain.views import textures
from onlygood.pretrain.views.textures import foreign_textures, lattice_noise, paste_textures, perlin_noise

BLACK, WHITE = torch.full((1, 1, 1, 1), -1.0), torch.full((1, 1, 1, 1), 1.0)


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.rand(shape, generator=generator(seed)) * 2 - 1


# --- noise --------------------------------------------------------------------


def test_lattice_noise_by_hand() -> None:
    """0 at the corners, there as steep as told, and in the middle the mean of what the corners say."""
    angle = torch.rand(1, 64 * 64, generator=generator()) * 2 * math.pi
    slopes = angle.cos(), angle.sin()
    u, v = torch.meshgrid(torch.arange(-2.0, 70), torch.arange(-2.0, 70), indexing="ij")
    assert lattice_noise(u[None], v[None], *slopes).abs().max() < 1e-5
    step = torch.full((1, 1, 1), 1e-3)
    at = (slopes[0][0, 3 * 64 + 5], slopes[1][0, 3 * 64 + 5])
    rise = lattice_noise(3 + step, 5 + 0 * step, *slopes), lattice_noise(3 + 0 * step, 5 + step, *slopes)
    for found, expected in zip(rise, at, strict=True):
        assert found.item() == pytest.approx(math.sqrt(2) * expected.item() * 1e-3, abs=2e-5)
    middle = lattice_noise(step * 0 + 3.5, step * 0 + 5.5, *slopes).item()
    expected = 0.0
    for i in (0, 1):
        for j in (0, 1):
            place = (3 + i) * 64 + 5 + j
            expected += (slopes[0][0, place] * (0.5 - i) + slopes[1][0, place] * (0.5 - j)).item() / 4
    assert middle == pytest.approx(math.sqrt(2) * expected, abs=1e-5)


def test_lattice_noise_has_no_seams() -> None:
    """Neither between cells, nor where the lattice begins anew."""
    angle = torch.rand(1, 64 * 64, generator=generator()) * 2 * math.pi
    u = torch.linspace(-3, 70, 7301).view(1, 1, -1)
    values = lattice_noise(u, u * 0.37, angle.cos(), angle.sin())
    assert values.diff().abs().max() < 0.05
    assert values.diff().diff().abs().max() < 0.005


def test_noise_is_different_in_every_image_and_covers_all_places() -> None:
    found = perlin_noise(300, 48, 64, generator())
    assert found.shape == (300, 48, 64)
    assert found.abs().max() <= 1.01
    assert found.mean().abs() < 0.02
    above = found > 0.5
    assert 0.02 < above.float().mean() < 0.15
    assert above.any(dim=0).float().mean() > 0.98
    roughness = found.diff(dim=2).abs().mean(dim=(1, 2)) + found.diff(dim=1).abs().mean(dim=(1, 2))
    assert roughness.quantile(0.9) > 3 * roughness.quantile(0.1)  # fine and coarse


# --- textures -----------------------------------------------------------------


def test_textures_are_other_images_between_black_and_white() -> None:
    """One image of structure, two flat ones: the next one's texture has structure, the others are flat."""
    x = torch.zeros(3, 3, 32, 32)
    x[1] = noise(3, 32, 32)
    spread = torch.stack([foreign_textures(x, BLACK, WHITE, generator(s)).std(dim=(2, 3)) for s in range(20)])
    assert spread[:, :2].max() < 1e-5
    assert spread[:, 2].median() > 0.1
    found = foreign_textures(noise(16, 3, 32, 32), BLACK, WHITE, generator())
    assert found.min() == -1
    assert found.max() == 1


def test_half_of_the_textures_are_negatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textures, "recolor", lambda x, views, rng: x)
    x = torch.full((200, 1, 8, 8), 0.5)
    values = foreign_textures(x, BLACK, WHITE, generator())[:, 0, 0, 0]
    torch.testing.assert_close(values.abs(), torch.full((200,), 0.5))
    assert (values > 0).float().mean().item() == pytest.approx(0.5, abs=0.12)


# --- pasting ------------------------------------------------------------------


def test_only_what_the_mask_covers_is_changed_by_a_share_of_the_texture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opacity is one number an image, from .1 to 1."""
    monkeypatch.setattr(textures, "foreign_textures", lambda x, *_: x + 1)
    x = noise(400, 2, 32, 32)
    out, masks = paste_textures(x, BLACK, WHITE, generator(), threshold=0.5, share=0.5)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    change = (out - x) * masks[:, None]
    torch.testing.assert_close(x + change, out)
    opacity = change.amax(dim=(1, 2, 3))
    torch.testing.assert_close(
        change, opacity.view(-1, 1, 1, 1) * masks[:, None].expand_as(x), atol=1e-5, rtol=0
    )
    some = opacity[masks.any(dim=2).any(dim=1)]
    assert 0.35 < len(some) / len(x) <= 0.55
    assert 0.1 <= some.min() < 0.2
    assert 0.9 < some.max() <= 1 + 1e-5
    assert some.mean().item() == pytest.approx(0.55, abs=0.06)


def test_pasting_is_a_function_of_the_generator_and_leaves_its_input_alone() -> None:
    x = noise(8, 3, 24, 40)
    before = x.clone()
    options = {"threshold": 0.5, "share": 1.0}
    first = paste_textures(x, BLACK, WHITE, generator(1), **options)
    assert torch.equal(x, before)
    for a, b in zip(first, paste_textures(x, BLACK, WHITE, generator(1), **options), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0], paste_textures(x, BLACK, WHITE, generator(2), **options)[0])
