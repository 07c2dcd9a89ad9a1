"""Relative location: labels, chance, and that neither lighting nor color fringes tell the direction."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Mean, descend, end, seeded
from torch import Tensor
from traps import fringed, lit

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.relative_location import RelativeLocationConfig, RelativeLocationTask

SIDE = 36
BATCH = 24
LIT = partial(lit, count=BATCH, side=SIDE)
FRINGED = partial(fringed, count=BATCH, side=SIDE, grid=3)
NAME = "onlygood.pretrain.tasks.relative_location"


def make(channels: int = 3, **options: Any) -> RelativeLocationTask:
    with seeded():
        config = RelativeLocationConfig(**options)
        return RelativeLocationTask(create_encoder("small", channels), config, "fixed").train()


def test_the_start_is_chance() -> None:
    task = make()
    rng = torch.Generator().manual_seed(0)
    losses = [task(FRINGED(s), torch.arange(BATCH), rng).loss.item() for s in range(3)]
    assert np.mean(losses) == pytest.approx(math.log(8), rel=0.06)


def test_the_label_is_the_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches that say their place, and a head that reads the neighbor's: always right."""
    task = make()
    numbered = torch.arange(9.0).view(1, 9, 1, 1, 1).expand(BATCH, 9, 3, 8, 8)
    monkeypatch.setattr(f"{NAME}.cut_tiles", lambda *_: numbered)
    monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    monkeypatch.setattr(f"{NAME}.drop_colors", lambda tiles, rng: tiles)

    class Read(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x[:, 0].eq(4).all()  # the middle comes first
            places = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8])
            return -(x[:, 1:] - places).abs() * 10

    task.encoder, task.head = Mean(), Read()  # type: ignore[assignment]
    output = task(FRINGED(0), torch.arange(BATCH), torch.Generator().manual_seed(0))
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
    rows = descend(make(), LIT, 12)
    accuracy = end(rows, "accuracy")
    assert (accuracy > 0.35) if opened else (accuracy < 0.18 and end(rows) > math.log(8) - 0.03)


@pytest.mark.parametrize("opened", [False, True])
def test_color_fringes_do_not_solve_it(*, opened: bool) -> None:
    """Channels shifted apart in each direction: told at once where colors are kept."""
    rows = descend(make(colours="keep" if opened else "drop"), FRINGED, 18)
    accuracy = end(rows, "accuracy")
    assert (accuracy > 0.6) if opened else (accuracy < 0.18 and end(rows) > math.log(8) - 0.05)
