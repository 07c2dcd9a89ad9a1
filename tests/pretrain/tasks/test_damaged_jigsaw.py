"""Damaged jigsaw: its three losses, what the encoder must not see, and the shortcut of lighting."""

import math
from typing import Any

import pytest
import torch
from tiny import descend, end, generator, seeded
from torch import Tensor
from traps import lit

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.damaged_jigsaw import DamagedJigsawConfig, DamagedJigsawTask

SIDE = 32
BATCH = 24
NAME = "onlygood.pretrain.tasks.damaged_jigsaw"


def make(channels: int = 3, **options: Any) -> DamagedJigsawTask:
    with seeded():
        config = DamagedJigsawConfig(**{"grid": 2, **options})
        return DamagedJigsawTask(create_encoder("small", channels), config, "fixed").train()


def noise(seed: int = 0, channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (BATCH, channels, SIDE, SIDE), generator=generator(seed)).byte()


def encoded(task: DamagedJigsawTask) -> list[Tensor]:
    """Where what the encoder sees will be."""
    seen: list[Tensor] = []
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    return seen


def test_the_start_is_chance_for_each_loss() -> None:
    """261 colors, 24 orders, and tiles of variance 1."""
    output = make()(noise(), torch.arange(BATCH), generator())
    metrics = {name: value.item() for name, value in output.metrics.items()}
    assert metrics["cross_entropy"] == pytest.approx(math.log(24), rel=0.08)
    assert metrics["colorization"] == pytest.approx(math.log(261), rel=0.06)
    assert metrics["inpainting"] < 1.5
    total = metrics["cross_entropy"] + metrics["inpainting"] + 0.2 * metrics["colorization"]
    assert output.loss.item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("grid", "classes"), [(2, 24), (3, 100)])
def test_classes_are_the_orders(grid: int, classes: int) -> None:
    assert make(grid=grid).classes == classes


def test_the_encoder_sees_gray_tiles_one_of_which_is_noise() -> None:
    """Of equal images without jitter, tiles are equal but for the lost one, which is another each time."""
    task = make(tile=1.0, views={"flip": False})
    seen = encoded(task)
    task(noise()[:1].expand(BATCH, -1, -1, -1), torch.arange(BATCH), generator())
    tiles = seen[0].view(BATCH, 4, 3, 16, 16)
    assert torch.equal(tiles[:, :, 0], tiles[:, :, 1])
    assert torch.equal(tiles[:, :, 0], tiles[:, :, 2])
    usual = tiles[:, :, 0].median(dim=0).values
    lost = (tiles[:, :, 0] - usual).abs().amax(dim=(2, 3)) > 1e-5
    assert lost.sum(dim=1).eq(1).all()
    assert lost.sum(dim=0).min() > 1
    filling = tiles[:, :, 0][lost]
    assert filling.std() == pytest.approx(1, abs=0.05)
    assert torch.corrcoef(filling.flatten(1)).fill_diagonal_(0).abs().max() < 0.35


def test_the_lost_tile_is_the_painters_target_and_has_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that hold their number in lightness and in color."""
    task = make()
    numbers = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(BATCH, 4, 3, 12, 12)
    monkeypatch.setattr(f"{NAME}.cut_tiles", lambda *_: numbers)
    monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    seen = encoded(task)
    colored: list[Tensor] = []
    asked: list[Tensor] = []

    def color(_: Any, maps: Tensor, colors: Tensor) -> Tensor:
        colored.append(colors[:, 0, 0, 0])
        return maps.sum() * 0

    def error(painted: Tensor, wanted: Tensor) -> Tensor:
        asked.append(wanted)
        return painted.sum() * 0

    monkeypatch.setattr(task, "_color", color)
    monkeypatch.setattr(f"{NAME}.functional.mse_loss", error)
    task(noise(), torch.arange(BATCH), generator())
    whole = seen[0].view(BATCH, 4, -1).std(dim=2) == 0
    assert whole.sum(dim=1).eq(3).all()
    lost = (~whole).long().argmax(dim=1)
    assert torch.equal(asked[0].mean(dim=(1, 2, 3)), lost.float())
    assert torch.equal(colored[0], numbers[:, :, 0, 0, 0][whole])


def test_gray_images_are_ordered_and_painted() -> None:
    output = make(1)(noise(channels=1), torch.arange(BATCH), generator())
    assert set(output.metrics) == {"accuracy", "cross_entropy", "inpainting"}


@pytest.mark.parametrize("opened", [False, True])
def test_lighting_does_not_solve_it(*, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without standardizing the tiles, a ramp of brightness is enough."""
    if opened:
        monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    task = make(1, views={"flip": False})
    rows = descend(task, lambda step: lit(step, BATCH, SIDE)[:, :1], 20)
    accuracy, loss = end(rows, "accuracy", 0.3), end(rows, "cross_entropy", 0.3)
    assert (accuracy > 0.2) if opened else (accuracy < 0.07 and loss > math.log(24) - 0.03)
