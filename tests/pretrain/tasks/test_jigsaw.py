"""Jigsaw: labels, chance, and that neither lighting nor color fringes nor edges solve the puzzle."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Mean, descend, end, seeded, settle
from torch import Tensor
from traps import fringed, lit

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.jigsaw import JigsawConfig, JigsawTask
from onlygood.runtime.errors import OnlygoodError

SIDE = 32
BATCH = 24
LIT = partial(lit, count=BATCH, side=SIDE)
FRINGED = partial(fringed, count=BATCH, side=SIDE, grid=2)
NAME = "onlygood.pretrain.tasks.jigsaw"


def make(channels: int = 3, **options: Any) -> JigsawTask:
    with seeded():
        return JigsawTask(create_encoder("small", channels), JigsawConfig(**options), "fixed").train()


def textures(seed: int, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (BATCH, channels, SIDE, SIDE), generator=rng).byte()


@pytest.mark.parametrize(("grid", "classes"), [(2, 24), (3, 100)])
def test_the_start_is_chance(grid: int, classes: int) -> None:
    task = make(grid=grid)
    assert task.classes == classes
    rng = torch.Generator().manual_seed(0)
    losses = [task(textures(s), torch.arange(BATCH), rng).loss.item() for s in range(2)]
    assert np.mean(losses) == pytest.approx(math.log(classes), rel=0.06)


def test_the_label_is_the_order_in_which_the_tiles_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that says which tile it sees, and a head that reads the order off: always right."""
    task = make(grid=2)
    numbered = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(BATCH, 4, 3, 8, 8)
    monkeypatch.setattr(f"{NAME}.cut_tiles", lambda *_, **__: numbered)
    monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    monkeypatch.setattr(f"{NAME}.drop_colors", lambda tiles, rng: tiles)

    class Read(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -(x[:, None] - task.solver.permutations).abs().sum(dim=2)

    task.encoder = Mean()  # type: ignore[assignment]
    task.solver.tile_head, task.solver.head = torch.nn.Identity(), Read()  # type: ignore[assignment]
    output = task(textures(0), torch.arange(BATCH), torch.Generator().manual_seed(0))
    assert output.metrics["accuracy"] == 1
    assert output.loss < 0.5


def test_tiles_meet_in_the_head_only() -> None:
    """Of each image, the encoder sees four tiles, once, whatever the number of puzzles."""
    task = make(grid=2, puzzles=5)
    shapes: list[tuple[int, ...]] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    task(textures(0)[:, :, :24], torch.arange(BATCH), torch.Generator())
    assert shapes == [(4 * BATCH, 3, 12, 12)]


@pytest.mark.parametrize("opened", [False, True])
def test_lighting_does_not_solve_it(*, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without standardizing the tiles, a ramp of brightness is enough."""
    if opened:
        monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    rows = descend(make(grid=2), LIT, 12)
    accuracy = end(rows, "accuracy")
    assert (accuracy > 0.3) if opened else (accuracy < 0.07 and end(rows) > math.log(24) - 0.02)


@pytest.mark.parametrize("opened", [False, True])
def test_color_fringes_do_not_solve_it(*, opened: bool) -> None:
    """Channels shifted apart in each corner: told at once where colors are kept."""
    rows = descend(make(grid=2, colours="keep" if opened else "drop"), FRINGED, 20)
    accuracy = end(rows, "accuracy")
    assert (accuracy > 0.6) if opened else (accuracy < 0.07 and end(rows) > math.log(24) - 0.05)


def test_the_papers_shift_of_channels_hides_fringes_in_part() -> None:
    """Slower than with the colors kept."""
    assert settle(make(grid=2, colours="shift"), FRINGED, 20, "accuracy") < 0.3


def test_more_orders_than_there_are_is_all_of_them() -> None:
    assert make(grid=2, permutations=1000).classes == 24


def test_images_too_small_for_the_grid() -> None:
    with pytest.raises(OnlygoodError, match="too small for 3×3 tiles"):
        make()(textures(0)[:, :, :12, :12], torch.arange(BATCH), torch.Generator())
