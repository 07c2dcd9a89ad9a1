"""Context encoder: holes, their weights, that what was in a hole stays unseen, and what can be painted."""

from functools import partial

import pytest
import torch
from tiny import generator, noise, seeded, settle, waves
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.context_encoder import (
    ContextEncoderConfig,
    ContextEncoderTask,
    hole_weights,
    random_regions,
)

BATCH = 16
NAME = "onlygood.pretrain.tasks.context_encoder"


def make(**options: object) -> ContextEncoderTask:
    with seeded():
        config = ContextEncoderConfig.model_validate({"views": {"flip": False}, **options})
        return ContextEncoderTask(create_encoder("small"), config, "fixed").train()


@pytest.mark.parametrize(("height", "width"), [(24, 24), (48, 33)])
def test_holes_are_smooth_a_quarter_and_differ(height: int, width: int) -> None:
    holes = random_regions((40, height, width), 0.25, 0.25, generator())
    assert holes.shape == (40, 1, height, width)
    assert holes.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.25] * 40, abs=0.01)
    edges = (holes[..., 1:] != holes[..., :-1]).float().mean()
    assert edges < 0.5 * 2 * 0.25 * 0.75  # of what independent pixels would have
    assert len(torch.unique(holes.flatten(1), dim=0)) == 40
    everywhere = random_regions((400, height, width), 0.25, 0.25, generator(1)).float().mean(dim=0)
    assert everywhere.min() > 0.1


def test_weights_by_hand() -> None:
    """One missing pixel: itself 1, the eight around it 10, then nothing."""
    holes = torch.zeros(1, 1, 5, 6, dtype=torch.bool)
    holes[0, 0, 2, 3] = True
    expected = torch.zeros(5, 6)
    expected[1:4, 2:5] = 10
    expected[2, 3] = 1
    assert torch.equal(hole_weights(holes, 1, 10.0)[0, 0], expected)
    assert torch.equal(hole_weights(holes, 0, 10.0), holes.float())


def test_what_was_in_the_hole_is_not_seen() -> None:
    """Two batches that differ in the holes only look the same to the encoder, and cost differently."""
    task = make(overlap=0)
    seen: list[Tensor] = []
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    holes = random_regions((BATCH, 24, 24), 0.25, 0.25, generator())
    losses = [
        task(torch.where(holes, noise(BATCH, seed), noise(BATCH)), torch.arange(BATCH), generator()).loss
        for seed in (0, 1)
    ]
    assert torch.equal(seen[0], seen[1])
    assert (seen[0] == 0).all(dim=1, keepdim=True).eq(holes).all()
    assert losses[0] != losses[1]


def test_what_was_seen_costs_nothing() -> None:
    """Outside the holes and the pixels around them, any painting is as good as any other."""
    task = make(overlap=2)
    holes = random_regions((BATCH, 24, 24), 0.25, 0.25, generator())
    counted = hole_weights(holes, 2, 10.0) > 0
    clean = noise(BATCH).float() / 63.75 - 2

    class Painter(torch.nn.Module):
        def __init__(self, wrong: Tensor) -> None:
            super().__init__()
            self.wrong = wrong

        def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
            return clean + 3 * self.wrong

    task.decoder = Painter(~counted)  # type: ignore[assignment]
    assert task(noise(BATCH), torch.arange(BATCH), generator()).loss < 1e-8
    task.decoder = Painter(holes)  # type: ignore[assignment]
    output = task(noise(BATCH), torch.arange(BATCH), generator())
    ring = (counted & ~holes).sum()
    assert output.loss.item() == pytest.approx((9 * holes.sum() / (holes.sum() + 10 * ring)).item(), rel=1e-4)
    assert output.metrics["hole"].item() == pytest.approx(9, rel=1e-4)


def test_waves_are_continued_and_noise_is_not() -> None:
    """Fresh white noise cannot be guessed: the error stays at its variance."""
    error = settle(make(), partial(noise, BATCH), 25, "hole", last=1 / 5)
    assert error > 0.95 * (255**2 / 12) / 63.75**2
    error = settle(make(), partial(waves, BATCH), 25, "hole", last=1 / 5)
    assert error < 0.6 * (waves(BATCH).float() / 63.75 - 2).var().item()
