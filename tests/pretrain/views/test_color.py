"""Lab colors against known values, the color classes, and their weights."""

import pytest
import torch
from traps import lab_to_srgb

from onlygood.pretrain.views.color import (
    gamut_bins,
    rebalancing_weights,
    soft_cross_entropy,
    soft_encode,
    srgb_to_lab,
)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    ],
)
def test_known_colors(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    """CIE Lab under D65."""
    got = srgb_to_lab(torch.tensor(rgb).float().view(1, 3, 1, 1)).flatten()
    assert got.tolist() == pytest.approx(lab, abs=0.015)


def test_there_and_back() -> None:
    rgb = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    rgb[0] *= 0.04  # the linear foot of both curves
    torch.testing.assert_close(lab_to_srgb(srgb_to_lab(rgb)), rgb, atol=1e-4, rtol=0)


def test_lab_is_exact_under_autocast() -> None:
    rgb = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        lab = srgb_to_lab(rgb.bfloat16().float())
    torch.testing.assert_close(lab, srgb_to_lab(rgb.bfloat16().float()))
    assert lab.dtype == torch.float32


def test_the_gamut_has_261_bins() -> None:
    """As many as all 256³ colors fall into; no random color falls outside."""
    bins = gamut_bins()
    assert bins.shape == (261, 2)
    assert len(torch.unique(bins, dim=0)) == 261
    rgb = torch.rand(200_000, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    ab = srgb_to_lab(rgb)[:, 1:, 0, 0]
    index, _ = soft_encode(ab[:20_000], bins, 1)
    assert (ab[:20_000] - bins[index[:, 0]]).abs().max() <= 5.001
    known = {tuple(row) for row in bins.tolist()}
    assert {tuple(row) for row in (torch.unique((ab / 10).round(), dim=0) * 10).tolist()} <= known


def test_soft_encoding_naively() -> None:
    bins = gamut_bins()
    ab = torch.tensor([[3.0, -6.0], [61.5, 42.0]])
    index, weight = soft_encode(ab, bins)
    for color, chosen, given in zip(ab, index, weight, strict=True):
        squares = ((bins - color) ** 2).sum(dim=1)
        nearest = squares.argsort()[:5]
        assert chosen.tolist() == nearest.tolist()
        bell = torch.exp(-squares[nearest] / 50)
        torch.testing.assert_close(given, bell / bell.sum())


def test_soft_cross_entropy_naively() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 9, generator=rng)
    index = torch.rand(6, 9, generator=rng).argsort(dim=1)[:, :3]
    weight = torch.rand(6, 3, generator=rng)
    weight /= weight.sum(dim=1, keepdim=True)
    dense = torch.zeros(6, 9).scatter(1, index, weight)
    expected = torch.nn.functional.cross_entropy(logits, dense, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(logits, index, weight), expected)


def test_rare_colors_weigh_more() -> None:
    bins = gamut_bins()
    prior = torch.full((261,), 1e-4)
    common = int(((bins - torch.tensor([0.0, 0.0])) ** 2).sum(dim=1).argmin())
    prior[common] = 1
    prior /= prior.sum()
    weights = rebalancing_weights(prior, bins)
    assert (prior * weights).sum().item() == pytest.approx(1)
    assert weights.argmin() == common
    far = ((bins - bins[common]) ** 2).sum(dim=1) > 30**2
    assert weights[far].min() > 50 * weights[common]


def test_weights_by_hand() -> None:
    """Two bins too far apart to smooth, λ = 1/2: mixed to 0.7 and 0.3, inverted, scaled to mean 1."""
    bins = torch.tensor([[0.0, 0.0], [1000.0, 0.0]])
    weights = rebalancing_weights(torch.tensor([0.9, 0.1]), bins)
    raw = torch.tensor([1 / 0.7, 1 / 0.3])
    torch.testing.assert_close(weights, raw / (0.9 * raw[0] + 0.1 * raw[1]))


def test_smoothing_shares_mass_with_neighbors_only() -> None:
    bins = torch.tensor([[0.0, 0.0], [10.0, 0.0], [500.0, 0.0]])
    weights = rebalancing_weights(torch.tensor([1.0, 0.0, 0.0]), bins)
    assert weights[0] < weights[1] < weights[2]


def test_all_uniform_is_no_rebalancing() -> None:
    bins = gamut_bins()
    prior = torch.rand(261, generator=torch.Generator().manual_seed(0))
    weights = rebalancing_weights(prior / prior.sum(), bins, uniform=1.0)
    torch.testing.assert_close(weights, torch.ones(261))
