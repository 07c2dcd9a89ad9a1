"""GOAD: its three terms, that all images have the same transforms, and that flat images tell none."""

import math
from typing import Any

import pytest
import torch
from tiny import batch, descend, flat_colors, make, structured
from torch import Tensor

from onlygood.pretrain.losses.triplet import center_triplet
from onlygood.pretrain.tasks.base import Task, TaskOutput

PLAIN = {"flip": False}


def run(task: Task, images: Tensor, seed: int = 0) -> TaskOutput:
    output = task(images, torch.arange(len(images)), torch.Generator().manual_seed(seed))
    assert isinstance(output, TaskOutput)
    return output


def test_the_terms_recomputed() -> None:
    task = make("goad", copies=5, margin=2.0, triplet=0.3, shrink=4.0).train()
    features = torch.randn(15, 256, generator=torch.Generator().manual_seed(0))
    task.encoder.register_forward_hook(lambda *_: features)
    output = run(task, batch(structured(3)))
    own = {name: value.item() for name, value in output.metrics.items()}
    assert own["triplet"] == pytest.approx(center_triplet(features.view(3, 5, 256), 2.0).item())
    assert own["square"] == pytest.approx(features.square().mean().item())
    expected = own["cross_entropy"] + 0.3 * own["triplet"] + 4 * own["square"]
    assert output.loss.item() == pytest.approx(expected)


def test_all_images_of_a_batch_have_the_same_transforms_and_batches_differ() -> None:
    """Of equal images, the k-th copies are equal, and no others."""
    task, seen = make("goad", copies=6, views=PLAIN).train(), list[Tensor]()
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    images = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8).expand(4, -1, -1, -1)
    for seed in range(2):
        run(task, images, seed)
    views = seen[0].view(4, 6, 3, 24, 24)
    assert all(torch.equal(view, views[0]) for view in views)
    assert sum(torch.equal(a, b) for a in views[0] for b in views[0]) == 6
    assert not torch.equal(*seen)


def test_flat_images_stay_at_chance_and_their_centers_coincide() -> None:
    """A flat image is its own every transform: margins cannot be kept, nor classes told."""
    task = make("goad", views=PLAIN).train()
    rows = descend(task, flat_colors(8, 24, 30), 10, lr=0.01, momentum=0)
    assert all(row["cross_entropy"] > math.log(72) - 0.3 for row in rows)
    assert all(row["triplet"] == pytest.approx(1, abs=1e-3) for row in rows)


def test_transforms_that_can_be_told_keep_their_margin() -> None:
    options: dict[str, Any] = {"shift": 0, "flips": False, "copies": None, "margin": 5.0}
    task = make("goad", views=PLAIN, shrink=0.1, triplet=1.0, **options).train()
    rows = descend(task, batch(structured(8)), 20, lr=0.02)
    assert rows[0]["triplet"] > 0.3
    assert rows[-1]["triplet"] < 0.01
    assert rows[-1]["accuracy"] == 1
