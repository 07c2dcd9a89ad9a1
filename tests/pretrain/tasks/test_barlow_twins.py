"""Barlow Twins: its loss, and that neither collapse nor copies of one dimension lower it."""

import pytest
import torch
from tiny import clouds, descend, end, settle
from torch import Tensor

from onlygood.pretrain.losses.redundancy import barlow_twins
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.barlow_twins import BarlowTwinsConfig, BarlowTwinsTask

BATCH = 32


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decorrelated(n: int, dim: int) -> Tensor:
    """Columns of mean 0 without any correlation."""
    z = normal(n, dim)
    q: Tensor = torch.linalg.qr(z - z.mean(dim=0))[0]
    return q


def test_the_loss_recomputed() -> None:
    a, b = normal(2, 9, 4)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            r = float(torch.corrcoef(torch.stack([a[:, i], b[:, j]]))[0, 1])
            expected += (1 - r) ** 2 if i == j else 0.3 * r**2
    torch.testing.assert_close(barlow_twins(a, b, 0.3), torch.tensor(expected), rtol=1e-3, atol=1e-4)


def test_best_and_worst() -> None:
    """0 for equal views of unrelated dimensions, whatever their scale; D for collapsed ones."""
    z = decorrelated(32, 6) * 10
    assert barlow_twins(z, z * torch.arange(1, 7), 1.0).item() == pytest.approx(0, abs=1e-4)
    one = torch.ones(32, 6)
    assert barlow_twins(one, one, 1.0).item() == pytest.approx(6)
    copies = z[:, :1].expand(-1, 6)
    assert barlow_twins(copies, copies, 1.0).item() == pytest.approx(30, rel=1e-4)


def task(**options: object) -> BarlowTwinsTask:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        config = BarlowTwinsConfig.parse({"projection": 64, "scale": 0.02} | options, "test")
        return BarlowTwinsTask(create_encoder("small"), config).train()


def test_it_learns_without_collapse() -> None:
    rows = descend(task(), clouds(BATCH), 20, lr=0.02)
    assert end(rows, last=0.15) < 0.7 * rows[0]["loss"]
    assert rows[-1]["embedding_spread"] > 0.4


def test_equal_images_cannot_agree() -> None:
    """Two crops of always the same image share nothing that tells them: no better than collapse."""
    same = clouds(1).expand(BATCH, -1, -1, -1)
    assert settle(task(), same, 10, last=1, lr=0.02) > 0.02 * 64 * 0.9
