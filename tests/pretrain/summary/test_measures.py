"""Numbers of the summary against ones computed by hand."""

import numpy as np
import pytest
import torch
from tiny import Store, make, structured
from torch import Tensor, nn

from onlygood.pretrain.summary.measures import embedded, in_words, plane, view_accuracy
from onlygood.pretrain.views.fixed import FixedView


def test_a_plane_is_found_in_space() -> None:
    """Points on two axes of five, one of which is twice as long, and nothing else."""
    points = np.zeros((4, 5))
    points[:2, 3], points[2:, 1] = (-6, 6), (3, -3)
    found, share = plane(points + 7)
    assert share == pytest.approx(1)
    assert np.abs(found) == pytest.approx(np.array([[6, 0], [6, 0], [0, 3], [0, 3]]))
    assert found.max(axis=0) == pytest.approx([6, 3])  # the sign is the picture's, not the solver's


def test_the_share_is_of_all_directions() -> None:
    points = np.diag([3.0, 2.0, 1.0])
    points = np.concatenate([points, -points])
    assert plane(points)[1] == pytest.approx((9 + 4) / (9 + 4 + 1))


@pytest.mark.parametrize("features", [np.ones((3, 4)), np.ones((1, 4)), np.ones((4, 1))])
def test_equal_images_are_one_point(features: np.ndarray) -> None:
    points, share = plane(features)
    assert points.shape == (len(features), 2)
    assert np.allclose(points, 0)
    assert share == 1


def test_features_do_not_depend_on_the_company() -> None:
    task, store = make("rotation").eval(), Store(structured(6))
    together, alone = embedded(task, store, np.arange(6)), embedded(task, store, np.array([4]))
    assert together.shape == (6, task.encoder.dim)
    assert together[4] == pytest.approx(alone[0], rel=1e-4, abs=1e-5)


class Brightest(nn.Module):
    """An encoder that gives the mean of each border: top, left, bottom, right."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean(dim=1)
        borders = [x[:, 0], x[:, :, 0], x[:, -1], x[:, :, -1]]
        return torch.stack([border.mean(dim=1) for border in borders], dim=1)


def test_turns_are_told_by_where_the_light_is() -> None:
    """Of eight images two are lit from below: each of their views is taken for another."""
    task = make("rotation").eval()
    task.encoder, task.view_classifier = Brightest(), nn.Identity()  # type: ignore[assignment]
    images = np.zeros((8, 12, 12, 3), np.uint8)
    images[:6, 0], images[6:, -1] = 255, 255
    found = view_accuracy(task, Store(images), np.arange(8))
    assert found is not None
    assert found.names == ["as it is", "turned 90°", "turned 180°", "turned 270°"]
    assert found.shares.tolist() == [0.75] * 4
    assert found.images == 8


def test_a_task_that_tells_no_views_has_no_accuracy_of_them() -> None:
    assert view_accuracy(make("defect-maps").eval(), Store(structured(3)), np.arange(3)) is None
    assert view_accuracy(make("simclr").eval(), Store(structured(3)), np.arange(3)) is None


def test_many_views_are_asked_of_few_images() -> None:
    found = view_accuracy(make("geometric").eval(), Store(structured(64)), np.arange(64))
    assert found is not None
    assert (len(found.names), found.images) == (72, 5)


def test_views_in_words() -> None:
    words = [FixedView(), FixedView(flip=True, turn=3), FixedView(right=-2, down=4), FixedView(zoom=0.5)]
    assert [in_words(view) for view in words] == [
        "as it is",
        "turned 270°, mirrored",
        "shifted -2, 4 px",
        "enlarged 2 times",
    ]
