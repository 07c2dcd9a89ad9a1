"""Relative location: labels, chance, and that neither lighting nor colour fringes tell the direction."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import settle
from torch import Tensor

from onlygood.pretrain.encoders import create_encoder
from onlygood.pretrain.tasks.relative_location import RelativeLocationConfig, RelativeLocationTask

Images = Callable[[int], Tensor]
SIDE = 36
BATCH = 24
NAME = "onlygood.pretrain.tasks.relative_location"


def make(channels: int = 3, **options: Any) -> RelativeLocationTask:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        config = RelativeLocationConfig(**options)
        return RelativeLocationTask(create_encoder("small", channels), config, "fixed").train()


def ramps(seed: int) -> Tensor:
    """Noise, lit from the top left."""
    rng = torch.Generator().manual_seed(seed)
    at = torch.arange(SIDE)
    start = torch.randint(0, 60, (BATCH, 1, 1, 1), generator=rng)
    noise = torch.randint(0, 4, (BATCH, 3, SIDE, SIDE), generator=rng)
    return (start + 2 * at[:, None] + 2 * at + noise).byte()


def fringes(seed: int) -> Tensor:
    """Noise, new each time; red lies 1 px further out than green, and blue 1 px further in."""
    noise = torch.rand(BATCH, SIDE + 2, SIDE + 2, generator=torch.Generator().manual_seed(seed))
    at = torch.arange(SIDE)
    out = at // (SIDE // 3) - 1
    places = [at + 1 + k * out for k in (-1, 0, 1)]
    return (torch.stack([noise[:, i[:, None], i] for i in places], 1) * 255).byte()


def test_the_start_is_chance() -> None:
    task = make()
    rng = torch.Generator().manual_seed(0)
    losses = [task(fringes(s), torch.arange(BATCH), rng).loss.item() for s in range(3)]
    assert np.mean(losses) == pytest.approx(math.log(8), rel=0.06)


def test_the_label_is_the_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches that say their place, and a head that reads the neighbour's: always right."""
    task = make()
    numbered = torch.arange(9.0).view(1, 9, 1, 1, 1).expand(BATCH, 9, 3, 8, 8)
    monkeypatch.setattr(f"{NAME}.cut_tiles", lambda *_: numbered)
    monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    monkeypatch.setattr(f"{NAME}.drop_colours", lambda tiles, rng: tiles)

    class Number(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(1, 2, 3))[:, None]

    class Read(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x[:, 0].eq(4).all()  # the middle comes first
            places = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8])
            return -(x[:, 1:] - places).abs() * 10

    task.encoder, task.head = Number(), Read()  # type: ignore[assignment]
    output = task(fringes(0), torch.arange(BATCH), torch.Generator().manual_seed(0))
    assert output.metrics["accuracy"] == 1
    assert output.loss < 1e-3


def test_patches_keep_their_distance() -> None:
    """On a 72 px view: patches of 16 of 24 px, 4 ± 1 px from their cell's edge, so at least 6 px apart."""
    task = make(1, colours="keep")
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task(torch.zeros(BATCH, 1, 72, 72, dtype=torch.uint8), torch.arange(BATCH), torch.Generator())
    assert seen[0].shape == (9 * BATCH, 1, 16, 16)


@pytest.mark.parametrize("opened", [False, True])
def test_lighting_does_not_solve_it(*, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if opened:
        monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    loss, accuracy = settle(make(), ramps, 12, size=BATCH)
    assert (accuracy > 0.35) if opened else (accuracy < 0.18 and loss > math.log(8) - 0.03)


@pytest.mark.parametrize("opened", [False, True])
def test_colour_fringes_do_not_solve_it(*, opened: bool) -> None:
    """Channels shifted apart in each direction: told at once where colours are kept."""
    loss, accuracy = settle(make(colours="keep" if opened else "drop"), fringes, 18, size=BATCH)
    assert (accuracy > 0.6) if opened else (accuracy < 0.18 and loss > math.log(8) - 0.05)
