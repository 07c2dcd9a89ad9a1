"""VICReg: the sum of its terms, and that the variance term alone keeps the embeddings apart."""

import torch
from tiny import clouds, descend, end, seeded

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.vicreg import VICRegConfig, VICRegTask

BATCH = 32


def trained(**options: float) -> tuple[float, dict[str, float]]:
    """Last loss as a share of the first, and the last metrics."""
    with seeded():
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
