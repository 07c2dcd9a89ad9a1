"""Instance discrimination: the memory, the exact softmax and its noise-contrastive estimate."""

import math

import pytest
import torch
from tiny import clouds, seeded, settle

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.instance_discrimination import (
    InstanceDiscriminationConfig,
    InstanceDiscriminationTask,
)

COUNT = 32


def make(count: int = COUNT, **options: object) -> InstanceDiscriminationTask:
    with seeded():
        config = InstanceDiscriminationConfig.parse({"temperature": 0.5} | options, "test")
        return InstanceDiscriminationTask(create_encoder("small"), config, images=count).train()


@pytest.mark.parametrize(
    ("negatives", "chance"), [(64, math.log(64)), (16, math.log(17) + 16 * math.log(17 / 16))]
)
def test_the_start_is_chance(negatives: int, chance: float) -> None:
    task = make(64, negatives=negatives)
    losses = [
        task(clouds(COUNT), torch.arange(32), torch.Generator().manual_seed(s)).loss.item() for s in range(2)
    ]
    assert losses[0] == pytest.approx(chance, rel=0.05)


def test_only_the_rows_of_the_batch_change() -> None:
    task = make(64)
    before = task.bank.rows.clone()
    task(clouds(8), torch.arange(8) * 3, torch.Generator())
    changed = (task.bank.rows != before).any(dim=1).nonzero().flatten()
    assert changed.tolist() == list(range(0, 24, 3))
    torch.testing.assert_close(task.bank.rows.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("negatives", [4096, 16])
def test_images_are_told_apart(negatives: int) -> None:
    """Also by the estimate, which a constant Z of the first batch would drive apart from the exact loss."""
    chance = math.log(COUNT) if negatives > COUNT else math.log(17) + 16 * math.log(17 / 16)
    assert settle(make(negatives=negatives), clouds(COUNT), 30, last=1 / 6) < 0.85 * chance


def test_equal_images_stay_at_chance() -> None:
    """The place in the batch and the memory's first random rows are no cue."""
    assert settle(make(), clouds(1).expand(COUNT, -1, -1, -1), 20, last=0.4) > math.log(COUNT) - 0.05
