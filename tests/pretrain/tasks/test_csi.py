"""CSI: its two losses, and that neither is solved where there is no turn to see."""

import math
from typing import Any

import pytest
import torch
from tiny import all_views, batch, descend, flat_colors, make, structured
from torch import Tensor

from onlygood.pretrain.losses.contrastive import nt_xent
from onlygood.pretrain.tasks.base import Task

PLAIN = {"flip": False}


def task(**options: Any) -> Task:
    return make("csi", views=PLAIN, **options).train()


def test_the_losses_recomputed() -> None:
    """Row ``k B + i`` of each half is image i turned k times; its partner is in the other half."""
    csi, images = task(temperature=0.3), batch(structured(3))
    features = torch.randn(24, 256, generator=torch.Generator().manual_seed(0))
    csi.encoder.register_forward_hook(lambda *_: features)
    assert csi.projector is not None
    assert csi.view_classifier is not None
    a, b = csi.projector(features).detach().split(12)
    contrast = nt_xent(a, b, 0.3).item()
    logp = csi.view_classifier(features).detach().log_softmax(dim=1)
    turns = sum(-logp[12 * half + 3 * k + i, k] for half in range(2) for k in range(4) for i in range(3)) / 24
    output = csi(images, torch.arange(3), torch.Generator().manual_seed(0))
    assert output.metrics["contrast"].item() == pytest.approx(contrast, rel=1e-4)
    assert output.metrics["cross_entropy"].item() == pytest.approx(float(turns), rel=1e-4)
    assert output.loss.item() == pytest.approx(contrast + float(turns), rel=1e-4)


def test_partners_are_views_of_one_image_under_one_turn() -> None:
    csi, seen = task(), list[Tensor]()
    csi.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    csi(batch(structured(3)), torch.arange(3), torch.Generator().manual_seed(0))
    first, second = seen[0].chunk(2)
    assert torch.equal(first, second)
    upright, *turned = first.chunk(4)
    for k, images in enumerate(turned, 1):
        assert torch.equal(images.rot90(-k, dims=(2, 3)), upright)


def test_flat_images_tell_no_turn() -> None:
    """Not by their shape either. Seven others are the same as each view, and one of them is its partner."""
    rows = descend(task(temperature=0.1), flat_colors(8, 24, 30), 8)
    assert [row["accuracy"] for row in rows] == pytest.approx([1 / 4] * 8)
    assert all(row["cross_entropy"] > math.log(4) - 1e-3 for row in rows)
    assert all(row["contrast"] > math.log(7) - 1e-3 for row in rows)
    assert rows[-1]["contrast"] < math.log(7) + 0.5  # the images themselves are told


def test_turned_copies_are_negatives() -> None:
    """One image many times: the turns can be told, the copies cannot."""
    rows = descend(task(temperature=0.05), batch(structured(1)).expand(8, -1, -1, -1), 8)
    assert rows[-1]["accuracy"] == 1
    assert rows[-1]["contrast"] == pytest.approx(math.log(2 * 8 - 1), abs=0.05)


def test_a_detector_shows_the_four_turns() -> None:
    x = torch.arange(18.0).view(2, 1, 3, 3)
    for k, view in enumerate(all_views(task().test_views, x)):
        assert torch.equal(view, x.rot90(k, dims=(2, 3)))
