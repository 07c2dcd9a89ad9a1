"""Counting: the loss by hand, the five images that are compared, and collapse."""

import pytest
import torch
from tiny import descend, end, generator, noise, seeded
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.counting import CountingConfig, CountingTask, counting_loss, halve

BATCH = 16


def make(**options: object) -> CountingTask:
    with seeded():
        config = CountingConfig.model_validate({"views": {"flip": False}, **options})
        return CountingTask(create_encoder("small"), config).train()


def test_loss_recomputed_image_by_image() -> None:
    whole, parts = torch.rand(5, 7, generator=generator()), torch.rand(5, 4, 7, generator=generator(1)) / 4
    expected = []
    for i in range(5):
        total = sum(parts[i, j] for j in range(4))
        other = whole[(i - 1) % 5]
        hinge = max(0.0, 1.0 - float(((other - total) ** 2).sum()))
        expected.append(float(((whole[i] - total) ** 2).sum()) + hinge)
    assert counting_loss(whole, parts, 1.0).item() == pytest.approx(sum(expected) / 5)
    assert len({value > 1 for value in expected}) == 2  # the hinge is per image, not per count


def test_counts_of_zero_cost_the_margin() -> None:
    assert counting_loss(torch.zeros(4, 9), torch.zeros(4, 4, 9), 10.0) == 10


def test_right_and_distinct_counts_cost_nothing() -> None:
    parts = torch.eye(4)[:, None].expand(4, 4, 4)
    assert counting_loss(parts.sum(dim=1), parts, 10.0) == 0


def test_the_half_size_is_one_of_three_filters_for_each_image() -> None:
    x = torch.rand(1, 3, 16, 16, generator=generator()).expand(60, -1, -1, -1)
    halves = halve(x, generator())
    ways = [
        functional.avg_pool2d(x[:1], 2),
        functional.interpolate(x[:1], (8, 8), mode="bilinear", antialias=True),
        functional.interpolate(x[:1], (8, 8), mode="bicubic", antialias=True),
    ]
    used = torch.stack([(halves == way).flatten(1).all(dim=1) for way in ways])
    assert used.sum(dim=0).eq(1).all()  # three different pictures, each image one of them
    assert used.sum(dim=1).min() > 8


@pytest.mark.parametrize(("height", "width", "half"), [(24, 24, 12), (25, 31, 12)])
def test_the_encoder_sees_the_whole_and_its_quarters(height: int, width: int, half: int) -> None:
    task = make()
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task(noise(BATCH, 0, height, width), torch.arange(BATCH), generator())
    whole, quarters = seen[0][:BATCH], seen[0][BATCH:].view(BATCH, 4, 3, half, half)
    top, bottom = torch.cat(list(quarters[:, :2].unbind(1)), 3), torch.cat(list(quarters[:, 2:].unbind(1)), 3)
    full = torch.cat([top, bottom], 2)
    if height == width:
        torch.testing.assert_close(full, noise(BATCH).float() / 63.75 - 2)
    together = torch.stack([whole.flatten(), functional.avg_pool2d(full, 2).flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.9


@pytest.mark.parametrize(("surplus", "cost"), [(0.0, 0.0), (1.0, 9.0)])
def test_a_counter_that_adds_up_costs_nothing(surplus: float, cost: float) -> None:
    """Amounts add up; with one too many in each picture, the quarters count three too many together."""
    task = make(margin=0.001, scale=1.0)

    class Amount(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            means = functional.avg_pool2d(x, 12).flatten(1)[:, :1]
            return torch.cat([means[:BATCH], means[BATCH:] / 4]) + surplus

    task.encoder, task.counter = Amount(), torch.nn.Identity()  # type: ignore[assignment]
    loss = task(noise(BATCH), torch.arange(BATCH), generator()).loss
    assert loss.item() == pytest.approx(cost, abs=0.3)


def test_collapse_is_seen() -> None:
    """Dead counters: the loss is the margin, and the spread is zero."""
    task = make()
    healthy = task(noise(BATCH), torch.arange(BATCH), generator()).metrics["embedding_spread"]
    with torch.no_grad():
        task.counter[2].bias.fill_(-100)  # type: ignore[operator]
    output = task(noise(BATCH), torch.arange(BATCH), generator())
    assert output.loss.item() == pytest.approx(0.04 * 10)
    assert output.metrics["embedding_spread"] == 0
    assert healthy > 0.1


def test_training_beats_the_margin() -> None:
    """Better than no counts at all, and without collapse."""
    at = torch.arange(24) / 24
    waves = torch.sin(6.28 * (torch.rand(BATCH, 3, 1, 1, generator=generator()) * 3 * at + at[:, None]))
    pictures = (
        (waves * 60 + torch.rand(BATCH, 3, 1, 1, generator=generator(1)) * 120 + 65).clamp(0, 255).byte()
    )
    rows = descend(make(), pictures, 30)
    assert end(rows, last=1 / 6) < 0.04 * 8
    assert rows[-1]["embedding_spread"] > 0.05
