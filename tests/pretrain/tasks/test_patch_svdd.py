"""Patch SVDD: where its patches lie, both losses by hand, and what tells no direction."""

import math
from typing import Any

import pytest
import torch
from tiny import Mean, clouds, descend, end, generator, seeded
from torch import Tensor

from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.patch_svdd import (
    PatchSVDDConfig,
    PatchSVDDTask,
    jittered_places,
    neighboring_places,
)
from onlygood.runtime.errors import OnlygoodError

SIDE = 24
BATCH = 64


def make(channels: int = 3, **options: Any) -> PatchSVDDTask:
    with seeded():
        config = PatchSVDDConfig(**{"views": {"crop": 8, "flip": False}, **options})
        return PatchSVDDTask(create_encoder("small", channels), config).train()


def shaded(seed: int) -> Tensor:
    """Noise under a light from the top left: 7 gray levels from patch to patch, or twice as many."""
    noise = torch.randint(0, 8, (BATCH, 3, SIDE, SIDE), generator=generator(seed))
    start = torch.randint(0, 150, (BATCH, 1, 1, 1), generator=generator(seed + 1))
    at = torch.arange(SIDE)
    return (start + noise + at[:, None] + 2 * at).byte()


def test_pairs_nearly_coincide_and_never_do() -> None:
    (top, left), (down, right) = jittered_places((4000, 80, 100), 64, generator())
    steps = torch.stack([down - top, right - left])
    assert steps.abs().max() == 2
    assert (steps != 0).any(dim=0).all()
    counts = torch.bincount(((steps[0] + 2) * 5 + steps[1] + 2), minlength=25)
    assert counts[12] == 0
    assert counts[counts > 0].numel() == 24
    assert counts[counts > 0].min() > 100
    for start, side in ((top, 80), (down, 80), (left, 100), (right, 100)):
        assert start.min() >= 0
        assert start.max() <= side - 64
    assert (down.min(), down.max(), right.max()) == (0, 16, 36)


def test_neighbors_lie_in_their_direction() -> None:
    (top, left), (y, x), labels = neighboring_places((4000, 96, 128), 32, generator())
    signs = torch.stack([(y - top).sign() + 1, (x - left).sign() + 1])
    numbers = signs[0] * 3 + signs[1]
    assert torch.equal(numbers - (numbers > 4).long(), labels)
    for steps in ((y - top).abs(), (x - left).abs()):
        assert set(steps[steps > 0].tolist()) == set(range(24, 32))
    assert y.min() >= 0
    assert y.max() <= 64
    assert (x.min(), x.max()) == (0, 96)


def test_the_place_of_the_first_patch_tells_no_direction() -> None:
    (top, left), _, labels = neighboring_places((40_000, 24, 24), 8, generator())
    for place in (top, left):
        means = torch.stack([place[labels == label].float().mean() for label in range(8)])
        assert means.std() < 4 * place.float().std() / math.sqrt(5000)


def test_both_losses_by_hand() -> None:
    """Features that are brightness: of a slope, two patches differ by their distance alone."""
    task = make(1, color_shift=0.0, noise=0.0, pull=3.0)
    task.encoder = Mean()  # type: ignore[assignment]
    seen: list[Tensor] = []

    class Told(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return torch.zeros(len(x), 8)

    task.head = Told()  # type: ignore[assignment]
    slope = (10 * torch.arange(SIDE)).byte().expand(BATCH, 1, SIDE, SIDE)
    output = task(slope, torch.arange(BATCH), generator())
    across = (seen[0] * 63.75 / 10).round().long()[:, 0]
    assert set(across.tolist()) <= {0, 6, 7, -6, -7}
    pixels = (
        output.metrics["distance"].item() * 63.75 / 10
    )  # 0 or 1 px along the slope; 6 of 8 steps have one
    assert pixels == pytest.approx(6 / 8, abs=0.15)
    assert output.metrics["cross_entropy"] == pytest.approx(math.log(8))
    assert output.loss.item() == pytest.approx(3 * output.metrics["distance"].item() + math.log(8))


def test_only_patches_with_a_direction_are_disguised() -> None:
    task = make(color_shift=0.5, noise=0.0)
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task(torch.full((BATCH, 3, SIDE, SIDE), 100, dtype=torch.uint8), torch.arange(BATCH), generator())
    *alike, center, beside = seen[0].chunk(4)
    for plain in alike:
        assert torch.equal(plain, torch.full_like(plain, (100 - 127.5) / 63.75))
    for patches in (center, beside):
        assert patches.std(dim=(2, 3)).max() < 1e-5
        assert patches.mean(dim=(2, 3)).std() == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("pull", [0.0, 4.0])
def test_the_pull_brings_neighbors_together(pull: float) -> None:
    rows = descend(make(pull=pull), clouds(BATCH), 8)
    assert (rows[-1]["distance"] < 0.5 * rows[0]["distance"]) == (pull > 0)


@pytest.mark.parametrize("opened", [False, True])
def test_light_from_one_side_does_not_solve_it(*, opened: bool) -> None:
    """For an encoder that sees nothing but brightness."""
    task = make(**{"color_shift": 0.0, "noise": 0.0} if opened else {"color_shift": 0.6})
    with seeded():
        task.encoder, task.head = Mean(), mlp(1, 64, 64, 8, norm=False)  # type: ignore[assignment]
    accuracy = end(descend(task, shaded, 100, lr=0.1), "accuracy")
    assert (accuracy > 0.35) if opened else (accuracy < 0.2)


def test_small_images_are_refused() -> None:
    with pytest.raises(OnlygoodError, match=r"need images of 96 px, not 24 × 24 px .* smaller views\.crop"):
        make(views={})(clouds(2), torch.arange(2), generator())
