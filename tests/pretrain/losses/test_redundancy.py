"""Barlow Twins' and VICReg's losses, recomputed and at their ends."""

import pytest
import torch
from torch import Tensor

from onlygood.pretrain.losses.redundancy import barlow_twins, vicreg_terms


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decorrelated(n: int, dim: int) -> Tensor:
    """Columns of mean 0 without any correlation."""
    z = normal(n, dim)
    q: Tensor = torch.linalg.qr(z - z.mean(dim=0))[0]
    return q


def test_barlow_twins_recomputed() -> None:
    a, b = normal(2, 9, 4)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            r = float(torch.corrcoef(torch.stack([a[:, i], b[:, j]]))[0, 1])
            expected += (1 - r) ** 2 if i == j else 0.3 * r**2
    torch.testing.assert_close(barlow_twins(a, b, 0.3), torch.tensor(expected), rtol=1e-3, atol=1e-4)


def test_barlow_twins_at_best_and_at_worst() -> None:
    """0 for equal views of unrelated dimensions, whatever their scale; D for collapsed ones."""
    z = decorrelated(32, 6) * 10
    assert barlow_twins(z, z * torch.arange(1, 7), 1.0).item() == pytest.approx(0, abs=1e-4)
    one = torch.ones(32, 6)
    assert barlow_twins(one, one, 1.0).item() == pytest.approx(6)
    copies = z[:, :1].expand(-1, 6)
    assert barlow_twins(copies, copies, 1.0).item() == pytest.approx(30, rel=1e-4)


def test_vicreg_recomputed() -> None:
    a, b = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)) * 0.7
    invariance = float(((a - b) ** 2).sum()) / 36
    variance = covariance = 0.0
    for z in (a, b):
        cov = torch.cov(z.T)
        variance += sum(max(0.0, 1 - (float(cov[i, i]) + 1e-4) ** 0.5) for i in range(4)) / 4 / 2
        covariance += sum(float(cov[i, j]) ** 2 for i in range(4) for j in range(4) if i != j) / 4
    actual = [float(term) for term in vicreg_terms(a, b)]
    assert actual == pytest.approx([invariance, variance, covariance], rel=1e-4)


def test_collapse_is_paid_by_variance_alone() -> None:
    one = torch.ones(8, 5)
    assert [float(t) for t in vicreg_terms(one, one)] == pytest.approx([0, 0.99, 0])  # 1 - sqrt(1e-4)


def test_spread_costs_nothing() -> None:
    """Dimensions of deviation over 1 that do not vary together: every term is 0."""
    z = torch.tensor([[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]])
    assert [float(t) for t in vicreg_terms(z, z)] == pytest.approx([0, 0, 0])
