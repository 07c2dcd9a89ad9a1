"""Geometric transforms by hand, and that flat images tell none of them."""

import math

import pytest
import torch
from tiny import all_views, descend
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.geometric import GeometricConfig, GeometricTask
from onlygood.pretrain.views.geometry import geometric_transforms, transform
from onlygood.runtime.errors import OnlygoodError


def naive(image: Tensor, flip: int, right: int, down: int, turn: int) -> Tensor:
    """One image ``(C, S, S)``: flip, shift with reflection, turn."""
    image = image.flip(2) if flip else image
    reach = max(abs(right), abs(down))
    if reach:
        padded = functional.pad(image[None], (reach,) * 4, mode="reflect")[0]
        side = image.shape[1]
        image = padded[:, reach - down : reach - down + side, reach - right : reach - right + side]
    return image.rot90(turn, dims=(1, 2))


def test_there_are_72_and_the_first_changes_nothing() -> None:
    transforms = geometric_transforms(flips=True, shift=8, turns=True)
    assert transforms.shape == (72, 4)
    assert transforms[0].tolist() == [0, 0, 0, 0]
    assert len(transforms.unique(dim=0)) == 72


def test_every_transform_is_the_naive_one() -> None:
    transforms = geometric_transforms(flips=True, shift=3, turns=True)
    x = torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    moved = transform(x.expand(72, -1, -1, -1), transforms)
    for image, row in zip(moved, transforms.tolist(), strict=True):
        assert torch.equal(image, naive(x[0], *row))


def test_test_views_are_the_classes_in_their_order() -> None:
    config = GeometricConfig.parse({"shift": 3}, "test")
    task = GeometricTask(create_encoder("small", 1), config)
    x = torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    views = all_views(task.test_views, x)
    assert len(views) == task.test_views.count == task.classes == 72
    for view, row in zip(views, task.transforms, strict=True):
        assert torch.equal(view, transform(x, row.expand(2, -1)))


@pytest.mark.parametrize(
    ("options", "classes"),
    [({}, 72), ({"shift": 0}, 8), ({"shift": 0, "flips": False}, 4), ({"turns": False}, 18)],
)
def test_chance_and_flat_images(options: dict[str, object], classes: int) -> None:
    """A flat image is its own every transform: nothing can be learned, whatever the border does."""
    task = GeometricTask(create_encoder("small", 1), GeometricConfig.parse(options, "test")).train()
    assert task.classes == classes
    flat = (torch.arange(16) * 12).byte().view(-1, 1, 1, 1).expand(-1, 1, 24, 30)
    rows = descend(task, flat, 15, lr=0.01, momentum=0)
    assert all(row["loss"] > math.log(classes) - 0.15 for row in rows)
    assert rows[-1]["accuracy"] < 1 / classes + 0.25


def test_copies_of_an_image_have_different_labels() -> None:
    task = GeometricTask(create_encoder("small", 1), GeometricConfig.parse({"copies": None}, "test"))
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    images = torch.randint(0, 256, (2, 1, 24, 24), dtype=torch.uint8)
    task(images, torch.arange(2), torch.Generator().manual_seed(0))
    assert seen[0].shape[0] == 2 * 72
    assert len(seen[0][:72].unique(dim=0)) == 72


def test_one_class_is_no_task() -> None:
    config = GeometricConfig.parse({"flips": False, "shift": 0, "turns": False}, "test")
    with pytest.raises(OnlygoodError, match="one class"):
        GeometricTask(create_encoder("small", 1), config)


def test_a_shift_out_of_the_view_is_refused() -> None:
    task = GeometricTask(create_encoder("small", 1), GeometricConfig.parse({"shift": 24}, "test"))
    with pytest.raises(OnlygoodError, match="a shift of 24 px leaves nothing of views of 24 px"):
        task(torch.zeros(2, 1, 24, 30, dtype=torch.uint8), torch.arange(2), torch.Generator())
