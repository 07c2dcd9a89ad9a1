"""Barlow Twins: that it learns without collapse, and that equal images cannot agree."""

from tiny import clouds, descend, end, seeded, settle

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.barlow_twins import BarlowTwinsConfig, BarlowTwinsTask

BATCH = 32


def task(**options: object) -> BarlowTwinsTask:
    with seeded():
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
