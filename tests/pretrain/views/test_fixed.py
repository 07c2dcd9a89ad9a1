"""Fixed views against the batched transforms of training, and maps that are put back in place."""

import pytest
import torch
from tiny import all_views
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.fixed import FixedView, FixedViews, geometric_views, turned_views
from onlygood.pretrain.views.geometry import geometric_transforms, rotations, transform


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_all_72_are_those_that_geom_trains_with() -> None:
    x, settings = noise(2, 3, 12, 12), {"flips": True, "shift": 3, "turns": True}
    views, table = geometric_views(**settings), geometric_transforms(**settings)  # type: ignore[arg-type]
    assert views.count == 72
    for row, seen in zip(table, all_views(views, x), strict=True):
        assert torch.equal(seen, transform(x, row.expand(2, 4)))


def test_turns_are_those_of_rotation() -> None:
    x = noise(2, 3, 8, 8)
    assert torch.equal(torch.stack(all_views(turned_views(), x)), rotations(x))


def test_shift_by_hand() -> None:
    row = torch.arange(5.0).view(1, 1, 1, 5)
    views = FixedViews([FixedView(right=2), FixedView(right=-1), FixedView(flip=True, right=2)])
    seen = all_views(views, row)
    assert [view.flatten().tolist() for view in seen] == [
        [2, 1, 0, 1, 2],
        [1, 2, 3, 4, 3],
        [2, 3, 4, 3, 2],
    ]


def test_an_oblong_is_turned_whole() -> None:
    x = noise(1, 1, 4, 6)
    views = FixedViews([FixedView(turn=1), FixedView(flip=True, turn=3)])
    one, other = all_views(views, x)
    assert torch.equal(one, x.rot90(1, (2, 3)))
    assert torch.equal(other, x.flip(3).rot90(3, (2, 3)))


def test_zoom_shows_the_middle_or_a_corner() -> None:
    x = noise(2, 3, 8, 12)
    seen = all_views(
        FixedViews([FixedView(zoom=0.5), FixedView(), FixedView(zoom=0.5, across=0, along=1)]), x
    )
    assert torch.equal(seen[1], x)
    for view, part in zip(seen[::2], [x[:, :, 2:6, 3:9], x[:, :, 4:, :6]], strict=True):
        assert torch.equal(view, functional.interpolate(part, size=(8, 12), mode="bilinear"))


def test_the_image_alone_is_not_copied() -> None:
    x = torch.rand(2, 3, 8, 6)
    seen = FixedViews()(x, [0])
    assert seen.shape == (2, 1, 3, 8, 6)
    assert seen.data_ptr() == x.data_ptr()


@pytest.mark.parametrize(
    "view", [FixedView(flip=flip, turn=turn) for flip in (False, True) for turn in range(4)]
)
def test_maps_are_put_back_in_place(view: FixedView) -> None:
    x, views = noise(2, 3, 6, 8), FixedViews([view])
    assert views.keep_places
    assert torch.equal(views.restore(all_views(views, x)[0], 0), x)


def test_places_are_lost_by_shifts_and_zooms() -> None:
    assert not FixedViews([FixedView(), FixedView(down=1)]).keep_places
    assert not FixedViews([FixedView(zoom=0.5)]).keep_places
    assert geometric_views(flips=True, shift=0, turns=True).keep_places
