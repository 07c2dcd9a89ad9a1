"""Selfie: who is asked for what, that the context counts, and what tells no place."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Mean, descend, end, generator, noise, seeded
from torch import Tensor, nn
from traps import fringed, lit

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.selfie import SelfieConfig, SelfieTask

SIDE = 36
BATCH = 16
LIT = partial(lit, count=BATCH, side=SIDE)
FRINGED = partial(fringed, count=BATCH, side=SIDE, grid=3)
NAME = "onlygood.pretrain.tasks.selfie"


def make(channels: int = 3, **options: Any) -> SelfieTask:
    with seeded():
        config = SelfieConfig(**{"dim": 64, "depth": 1, "grid": 3, **options})
        return SelfieTask(create_encoder("small", channels), config, "fixed").train()


def places() -> tuple[Tensor, Tensor]:
    order = torch.rand(5, 9, generator=generator(1)).argsort(dim=1)
    return order[:, :2], order[:, 2:]


@pytest.mark.parametrize(
    ("grid", "hidden", "classes"), [(4, 0.25, 4), (3, 1 / 3, 3), (2, 0.1, 2), (2, 0.99, 3)]
)
def test_some_are_hidden_and_some_are_shown(grid: int, hidden: float, classes: int) -> None:
    task = make(grid=grid, hidden=hidden)
    assert task.classes == classes
    losses = [task(noise(BATCH, s, 48, 48), torch.arange(BATCH), generator(s)).loss.item() for s in range(3)]
    assert np.mean(losses) == pytest.approx(math.log(classes), rel=0.06)


def test_each_place_asks_for_its_own_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches that say their place, and questions that name one: always right."""
    task = make(hidden=0.5)
    numbered = torch.arange(9.0).view(1, 9, 1, 1, 1).expand(BATCH, 9, 3, 12, 12)
    monkeypatch.setattr(f"{NAME}.cut_tiles", lambda *_: numbered)
    monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    monkeypatch.setattr(f"{NAME}.drop_colors", lambda tiles, rng: tiles)

    class OneHot(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 20 * nn.functional.one_hot(x[..., 0].round().long(), 64).float()

    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 64)

    task.encoder, task.pool, task.question = Mean(), Nothing(), OneHot()  # type: ignore[assignment]
    task.to_context, task.to_answer = OneHot(), OneHot()  # type: ignore[assignment]
    task.places = nn.Parameter(torch.arange(9.0)[:, None].expand(9, 64).clone())
    output = task(FRINGED(0), torch.arange(BATCH), generator())
    assert output.metrics["accuracy"] == 1
    assert output.loss < 1e-3


def test_the_order_of_what_is_shown_and_of_what_is_hidden_does_not_matter() -> None:
    task, features = make().eval(), torch.randn(5, 9, 256, generator=generator())
    hidden, shown = places()
    scores = task._ask(features, hidden, shown)
    torch.testing.assert_close(task._ask(features, hidden, shown.flip(1)), scores, rtol=1e-4, atol=1e-5)
    turned = task._ask(features, hidden.flip(1), shown)
    torch.testing.assert_close(turned.flip(1, 2), scores, rtol=1e-4, atol=1e-5)


def test_places_are_told_apart_by_what_is_shown() -> None:
    """Of two places and two patches, the context changes which patch suits which place."""
    task, features = make().eval(), torch.randn(5, 9, 256, generator=generator())
    hidden, shown = places()
    image = torch.arange(5)[:, None]
    other = features.clone()
    other[image, shown] = 3 * torch.randn(5, 7, 256, generator=generator(2))

    def exchange(x: Tensor) -> Tensor:
        scores = task._ask(x, hidden, shown)
        return scores[:, 0, 0] + scores[:, 1, 1] - scores[:, 0, 1] - scores[:, 1, 0]

    assert ((exchange(features) - exchange(other)).abs() > 1e-4).all()


def test_the_encoder_sees_each_patch_alone() -> None:
    """On a 36 px view: patches of 9 of 12 px, stretched to 12."""
    task = make(1)
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task(torch.zeros(BATCH, 1, SIDE, SIDE, dtype=torch.uint8), torch.arange(BATCH), generator())
    assert seen[0].shape == (9 * BATCH, 1, 12, 12)


def test_what_belongs_together_is_learned() -> None:
    """Each place has its own stripes: told at once, and by the patch alone."""

    def striped(seed: int) -> Tensor:
        cells = torch.arange(SIDE) // 12
        at = torch.arange(SIDE)
        wide = ((at // (2 + cells[:, None])) % 2) * 100 + 40 * cells
        return (wide + torch.randint(0, 40, (BATCH, 3, SIDE, SIDE), generator=generator(seed))).byte()

    assert end(descend(make(), striped, 14), "accuracy") > 0.75


@pytest.mark.parametrize("opened", [False, True])
def test_lighting_does_not_solve_it(*, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if opened:
        monkeypatch.setattr(f"{NAME}.standardize_tiles", lambda tiles: tiles)
    rows = descend(make(), LIT, 12)
    accuracy = end(rows, "accuracy")
    assert (accuracy > 0.7) if opened else (accuracy < 0.6 and end(rows) > math.log(2) - 0.03)


@pytest.mark.parametrize("opened", [False, True])
def test_color_fringes_do_not_solve_it(*, opened: bool) -> None:
    rows = descend(make(colors="keep" if opened else "drop"), FRINGED, 16)
    accuracy = end(rows, "accuracy")
    assert (accuracy > 0.7) if opened else (accuracy < 0.6 and end(rows) > math.log(2) - 0.03)
