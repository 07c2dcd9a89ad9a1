"""Contrast with turned copies: its loss, who is whose partner, and what cannot be told."""

import math
from typing import Any

import pytest
import torch
from tiny import batch, descend, end, flat_colors, make, structured
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.tasks.base import Task

PLAIN = {"flip": False}


def task(**options: Any) -> Task:
    return make("contrastive-da", views=PLAIN, **options).train()


@pytest.mark.parametrize(("turns", "instances"), [(True, 12), (False, 3)])
def test_the_loss_recomputed(turns: bool, instances: int) -> None:
    """First views look for their partners among second views alone."""
    contrast = task(turns=turns, temperature=0.2)
    features = torch.randn(2 * instances, 256, generator=torch.Generator().manual_seed(0))
    contrast.encoder.register_forward_hook(lambda *_: features)
    assert contrast.projector is not None
    z = functional.normalize(contrast.projector(features), dim=1).detach().double()
    expected = 0.0
    for i in range(instances):
        similar = [math.exp(float(z[i] @ z[instances + j]) / 0.2) for j in range(instances)]
        expected -= math.log(similar[i] / sum(similar)) / instances
    found = contrast(batch(structured(3)), torch.arange(3), torch.Generator().manual_seed(0)).loss
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_partners_are_views_of_one_image_under_one_turn() -> None:
    """Views that change nothing: both halves of the batch are the four turns of all images."""
    contrast, seen = task(), list[Tensor]()
    contrast.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    contrast(batch(structured(3)), torch.arange(3), torch.Generator().manual_seed(0))
    first, second = seen[0].chunk(2)
    assert torch.equal(first, second)
    upright, *turned = first.chunk(4)
    for k, images in enumerate(turned, 1):
        assert torch.equal(images.rot90(-k, dims=(2, 3)), upright)


def test_turned_copies_of_one_image_are_told_apart_and_those_of_flat_images_never() -> None:
    """Of flat images the four copies are the same, whatever their shape: log 4 is the best there is."""
    lit = descend(task(), batch(structured(1)).expand(8, -1, -1, -1), 12)
    assert math.log(8) - 1e-3 < end(lit) < math.log(8) + 0.3
    dull = descend(task(), flat_colors(8, 24, 30), 12)
    assert all(row["loss"] > math.log(4) - 1e-3 for row in dull)
    assert dull[-1]["loss"] < math.log(32) - 1  # the images themselves are told


def test_equal_flat_images_stay_at_chance() -> None:
    rows = descend(task(), flat_colors(1).expand(8, -1, -1, -1), 4)
    assert [row["loss"] for row in rows] == pytest.approx([math.log(32)] * 4, abs=1e-3)


@pytest.mark.parametrize("layers", [0, 2])
def test_the_projector_is_as_deep_as_asked_for(layers: int) -> None:
    projector = task(layers=layers).projector
    assert projector is not None
    shapes = [p.shape for p in projector.parameters() if p.ndim == 2]
    assert shapes == [(256, 256)] * layers + [(128, 256)]
