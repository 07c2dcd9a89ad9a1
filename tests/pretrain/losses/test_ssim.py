"""SSIM by hand, by its definition at one pixel, and by what it ignores."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.ssim import ssim

C1, C2 = 0.04**2, 0.12**2  # of a span of 4


def images(seed: int, height: int = 16, width: int = 20) -> Tensor:
    return torch.randn(3, 2, height, width, generator=torch.Generator().manual_seed(seed))


def test_an_image_is_like_itself() -> None:
    a = images(0)
    torch.testing.assert_close(ssim(a, a), torch.ones(3, 16, 20))


def test_flat_images_by_hand() -> None:
    """Without structure only the luminance term is left: (2·1·2 + C1) / (1 + 4 + C1)."""
    a = torch.ones(1, 3, 4, 5)
    torch.testing.assert_close(ssim(a, 2 * a), torch.full((1, 4, 5), (4 + C1) / (5 + C1)))
    torch.testing.assert_close(ssim(a, 2 * a, span=1.0), torch.full((1, 4, 5), 4.0001 / 5.0001))


@pytest.mark.parametrize("window", [3, 11])
def test_one_pixel_by_definition(window: int) -> None:
    a, b = images(0)[:1, :1].double(), images(1)[:1, :1].double()
    reach, y, x = window // 2, 7, 9
    pairs, weights = [], []
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            weights.append(math.exp(-(i * i + j * j) / (2 * (1.5 * window / 11) ** 2)))
            pairs.append((a[0, 0, y + i, x + j].item(), b[0, 0, y + i, x + j].item()))
    (mean_a, mean_b), ((var_a, cov), (_, var_b)) = (
        np.average(pairs, axis=0, weights=weights),
        np.cov(np.array(pairs).T, aweights=weights, ddof=0),
    )
    expected = (2 * mean_a * mean_b + C1) * (2 * cov + C2)
    expected /= (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
    assert ssim(a, b, window)[0, y, x].item() == pytest.approx(expected, abs=1e-4)


def test_the_mean_over_channels_and_the_order_of_the_two() -> None:
    a, b = images(0), images(1)
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    each = [ssim(a[:, [i]], b[:, [i]]) for i in range(2)]
    torch.testing.assert_close(ssim(a, b), (each[0] + each[1]) / 2)


def test_structure_counts_more_than_brightness() -> None:
    """A pattern turned to its negative is below 0; shifted by more than that, it is still itself."""
    a = images(0)
    assert ssim(4 + a, 4 - a).mean() < -0.8
    assert ssim(4 + a, 6 + a).mean() > 0.9


def test_what_is_outside_the_window_does_not_count() -> None:
    a, b = images(0), images(1)
    changed = b.clone()
    changed[:, :, 8, 10] += 5
    moved = (ssim(a, changed) - ssim(a, b)).abs() > 1e-6
    inside = functional.pad(torch.ones(11, 11, dtype=torch.bool), (5, 4, 3, 2))
    assert not moved[:, ~inside].any()
    assert moved[:, 8, 10].all()


def test_the_window_is_cut_off_at_the_border() -> None:
    """Flat images stay flat up to their corners: nothing dark is beyond."""
    a, b = torch.ones(1, 1, 30, 30), torch.full((1, 1, 30, 30), 3.0)
    expected = torch.full((1, 30, 30), (6 + C1) / (10 + C1))
    torch.testing.assert_close(ssim(a, b), expected, atol=1e-3, rtol=0)


def test_float32_under_autocast_and_any_size_and_order_in_memory() -> None:
    a, b = images(0, 2, 3), images(1, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = ssim(a, b.to(memory_format=torch.channels_last))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ssim(a, b))
