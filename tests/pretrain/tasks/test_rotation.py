"""Rotation with a deeper head and with a view for each turn, as DROC has them."""

import math

import pytest
import torch
from tiny import SIDE, batch, descend, flat_colors, make, structured
from torch import Tensor

from onlygood.pretrain.tasks.base import Task

PLAIN = {"flip": False}


def seen(task: Task, images: Tensor) -> Tensor:
    """What the encoder is shown, ``(4, B, C, S, S)``, each turned back by its label."""
    shown: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].clone()))
    task(images, torch.arange(len(images)), torch.Generator().manual_seed(0))
    return torch.stack([x.rot90(-k, dims=(2, 3)) for k, x in enumerate(shown[0].chunk(4))])


@pytest.mark.parametrize("own", [False, True])
def test_turns_have_views_of_their_own_where_asked_for(own: bool) -> None:
    views = seen(make("rotation", own_views=own).train(), batch(structured(3)))
    assert [torch.equal(view, views[0]) for view in views[1:]] == [not own] * 3


def test_own_views_are_of_the_image_and_turned_by_the_label() -> None:
    """Where views change nothing, there is no difference."""
    images = batch(structured(3))
    one, own = (seen(make("rotation", own_views=own, views=PLAIN).train(), images) for own in (False, True))
    assert torch.equal(one, own)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (16, 24)])
def test_flat_images_stay_at_chance(shape: tuple[int, int]) -> None:
    """Neither depth nor views of their own tell a turn that is not there."""
    images = flat_colors(16, *shape)
    rows = descend(make("rotation", layers=2, own_views=True, views=PLAIN).train(), images, 8)
    assert [row["accuracy"] for row in rows] == pytest.approx([1 / 4] * 8)
    assert all(row["loss"] > math.log(4) - 1e-3 for row in rows)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_head_is_as_deep_as_asked_for(layers: int) -> None:
    classifier = make("rotation", layers=layers).view_classifier
    assert classifier is not None
    shapes = [p.shape for p in classifier.parameters() if p.ndim == 2]
    assert shapes == [(256, 256)] * layers + [(4, 256)]


def test_the_deep_head_reads_features_of_regions_and_views() -> None:
    """As the detector gives them, ``(N, R, K, D)``: each for itself."""
    classifier = make("rotation", layers=2).eval().view_classifier
    assert classifier is not None
    features = torch.randn(2, 3, 4, 256, generator=torch.Generator().manual_seed(0))
    rows = classifier(features.flatten(0, 2))
    torch.testing.assert_close(classifier(features), rows.view(2, 3, 4, 4))
