"""Synthetic defects: where they are located. That nothing else is learned is in test_shortcuts.py."""

import pytest
import torch
from tiny import batch, descend, make, structured
from torch import Tensor

from onlygood.pretrain.views.views import to_float


def bright_corner(x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A bright square at the top right."""
    mask = torch.zeros_like(x[:, 0])
    mask[:, 2:14, 18:30] = 1
    return x + 3 * mask[:, None], mask


def test_a_defect_is_located_in_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlygood.pretrain.tasks.defects.paste_defects", bright_corner)
    images = batch(structured(32, 32, 32))
    views = {"crop": 32, "flip": False, "flip_vertical": False}
    task = make("defects", views=views)
    descend(task, images, 15)
    clean = to_float(images, "image")
    defective, _ = bright_corner(clean, torch.Generator())
    with torch.no_grad():
        logits = task.eval().locate(defective)
        assert task.locate(clean).max() < 0
    assert logits.shape == (32, 1, 2, 2)
    assert (logits[:, 0, 0, 1] > 0).all()
    assert logits[:, 0, 0, 1].min() > logits[:, 0, :, 0].max()
