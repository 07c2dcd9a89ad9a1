"""Instance discrimination: the memory, the exact softmax and its noise-contrastive estimate."""

import math

import pytest
import torch
from tiny import clouds, settle
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import (
    draw_others,
    instance_cross_entropy,
    noise_contrastive,
    similarities,
)
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.instance_discrimination import (
    InstanceDiscriminationConfig,
    InstanceDiscriminationTask,
)

COUNT = 32


def rows(count: int, dim: int = 8, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, dim, generator=rng), dim=1)


def make(count: int = COUNT, **options: object) -> InstanceDiscriminationTask:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        config = InstanceDiscriminationConfig.parse({"temperature": 0.5} | options, "test")
        return InstanceDiscriminationTask(create_encoder("small"), config, images=count).train()


def test_exact_softmax_recomputed() -> None:
    z, bank, ids, others = (
        rows(3),
        rows(6, seed=1),
        torch.tensor([4, 0, 5]),
        torch.tensor([[0, 1], [2, 2], [4, 3]]),
    )
    everything = chosen = 0.0
    for i in range(3):
        p = [math.exp(float(z[i] @ row) / 0.1) for row in bank]
        own = p[int(ids[i])]
        everything -= math.log(own / sum(p)) / 3
        chosen -= math.log(own / (own + sum(p[j] for j in others[i]))) / 3
    assert instance_cross_entropy(z, bank, ids, 0.1).item() == pytest.approx(everything, rel=1e-5)
    assert instance_cross_entropy(z, bank, ids, 0.1, others).item() == pytest.approx(chosen, rel=1e-5)


@pytest.mark.parametrize("product", [0, 16])  # copies of the chosen rows, or a product with all of them
def test_similarities_of_chosen_rows(monkeypatch: pytest.MonkeyPatch, product: int) -> None:
    monkeypatch.setattr("onlygood.pretrain.losses.contrastive._PRODUCT", product)
    z, bank, chosen = rows(2), rows(6, seed=1), torch.tensor([[5, 0, 5], [1, 2, 3]])
    expected = [[float(z[i] @ bank[j]) for j in chosen[i]] for i in range(2)]
    torch.testing.assert_close(similarities(z, bank, chosen), torch.tensor(expected))


def test_noise_contrast_recomputed() -> None:
    """Equation 7 with P = exp(s)/Z; n drops out, because Z is n times the mean of exp(s) over the noise."""
    own, noise = torch.tensor([2.0, -1.0]), torch.tensor([[0.5, 1.0, -2.0], [0.1, 0.0, 3.0]])
    n, m = 50, 3
    z = n * sum(math.exp(float(s)) for s in noise.flatten()) / 6
    expected = 0.0
    for i in range(2):
        p = math.exp(float(own[i])) / z
        expected -= math.log(p / (p + m / n))
        for s in noise[i]:
            p = math.exp(float(s)) / z
            expected -= math.log(1 - p / (p + m / n))
    assert noise_contrastive(own, noise).item() == pytest.approx(expected / 2, rel=1e-5)
    chance = math.log(1 + 7) + 7 * math.log(1 + 1 / 7)
    assert noise_contrastive(torch.zeros(4), torch.zeros(4, 7)).item() == pytest.approx(chance, rel=1e-5)


def test_others_are_all_others_and_never_oneself() -> None:
    ids = torch.tensor([0, 2, 4])
    drawn = draw_others(ids, 200, 5, torch.Generator().manual_seed(0))
    assert [set(row.tolist()) for row in drawn] == [{1, 2, 3, 4}, {0, 1, 3, 4}, {0, 1, 2, 3}]


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
