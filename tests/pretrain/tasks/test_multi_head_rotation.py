"""Multi-head rotation: joint log-probabilities are sums, in the order of the test views."""

import math
from itertools import product

import pytest
import torch
from tiny import all_views, descend, seeded
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.multi_head_rotation import (
    JointHeads,
    MultiHeadRotationConfig,
    MultiHeadRotationTask,
)
from onlygood.pretrain.views.geometry import transform


def make(**options: object) -> MultiHeadRotationTask:
    with seeded():
        config = MultiHeadRotationConfig.parse({"views": {"flip": False}} | options, "test")
        return MultiHeadRotationTask(create_encoder("small", 1), config).train()


def heads() -> JointHeads:
    classifier = make().view_classifier
    assert isinstance(classifier, JointHeads)
    return classifier


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_log_probabilities_of_views_are_the_sums_of_those_of_the_heads() -> None:
    """Of shifts right, shifts down and turns; of features (N, R, K, D) as well."""
    joint, features = heads(), draw(2, 5, 256)
    right, down, turn = (functional.log_softmax(head(features), dim=-1) for head in joint.heads)
    assert [x.shape[-1] for x in (right, down, turn)] == [3, 3, 4]
    expected = [
        right[..., r] + down[..., d] + turn[..., t] for r, d, t in product(range(3), range(3), range(4))
    ]
    found = joint(features)
    torch.testing.assert_close(found, torch.stack(expected, dim=-1))
    torch.testing.assert_close(found.exp().sum(dim=-1), torch.ones(2, 5))


def test_the_loss_is_the_sum_of_the_heads_cross_entropies(monkeypatch: pytest.MonkeyPatch) -> None:
    task, features, rows = make(copies=None), draw(72, 256), list[Tensor]()
    task.encoder.register_forward_hook(lambda *_: features)

    def note(x: Tensor, parameters: Tensor) -> Tensor:
        rows.append(parameters)
        return x

    monkeypatch.setattr("onlygood.pretrain.tasks.geometric.transform", note)
    found = task(torch.zeros(2, 1, 24, 24, dtype=torch.uint8), torch.arange(2), torch.Generator()).loss
    _, right, down, turn = rows[0].T
    answers = [torch.tensor([0, -8, 8]).eq(moves[:, None]).int().argmax(1) for moves in (right, down)]
    expected = sum(
        functional.cross_entropy(head(features), own)
        for head, own in zip(heads().heads, [*answers, turn], strict=True)
    )
    torch.testing.assert_close(found, expected)


def test_test_views_are_in_the_order_of_the_classes() -> None:
    task, x = make(), draw(2, 1, 24, 24)
    views = all_views(task.test_views, x)
    assert task.classes == task.test_views.count == len(views) == 36
    for view, row in zip(views, task.transforms, strict=True):
        assert torch.equal(view, transform(x, row.expand(2, -1)))


@pytest.mark.parametrize(("options", "classes"), [({}, 36), ({"shift": 0}, 4), ({"flips": True}, 72)])
def test_flat_images_stay_at_chance(options: dict[str, object], classes: int) -> None:
    """A flat image is its own every transform, whatever the border does."""
    task = make(**options)
    assert task.classes == classes
    flat = (torch.arange(16) * 12).byte().view(-1, 1, 1, 1).expand(-1, 1, 24, 30)
    rows = descend(task, flat, 10, lr=0.01, momentum=0)
    assert all(row["loss"] > math.log(classes) - 0.15 for row in rows)
    assert rows[-1]["accuracy"] < 1 / classes + 0.25
