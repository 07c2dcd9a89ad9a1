"""VICReg: its three terms, and that the variance term alone keeps the embeddings apart."""

import pytest
import torch
from tiny import clouds, descend, end

from onlygood.pretrain.losses.redundancy import vicreg_terms
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.vicreg import VICRegConfig, VICRegTask

BATCH = 32


def test_the_terms_recomputed() -> None:
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


def trained(**options: float) -> tuple[float, dict[str, float]]:
    """Last loss as a share of the first, and the last metrics."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        config = VICRegConfig.parse({"projection": 64} | options, "test")
        task = VICRegTask(create_encoder("small"), config).train()
    rows = descend(task, clouds(BATCH), 30, lr=0.2)
    return end(rows, last=0.1) / rows[0]["loss"], rows[-1]


def test_the_loss_is_the_weighted_sum() -> None:
    config = VICRegConfig(projection=16, invariance=2, variance=3, covariance=5, scale=0.5)
    task = VICRegTask(create_encoder("small"), config).train()
    output = task(clouds(BATCH), torch.arange(BATCH), torch.Generator())
    weights = {"invariance": 2, "variance": 3, "covariance": 5}
    expected = 0.5 * torch.stack([weight * output.metrics[name] for name, weight in weights.items()]).sum()
    torch.testing.assert_close(output.loss.detach(), expected)


def test_it_learns_without_collapse() -> None:
    share, metrics = trained()
    assert share < 0.97
    assert metrics["embedding_spread"] > 0.7
    assert metrics["variance"] < 0.7  # short of 1 by so much


def test_without_variance_it_collapses() -> None:
    """All embeddings become one: towards one direction, and to deviations of nearly 0."""
    share, metrics = trained(variance=0.0)
    assert share < 0.05  # and the loss likes it
    assert metrics["embedding_spread"] < 0.6
    assert metrics["variance"] > 0.92
