"""DeeperCluster: the labels are those of the turns, and flat images do not tell them."""

import math

import pytest
import torch
from tiny import descend, noise, seeded
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.deeper_cluster import DeeperClusterConfig, DeeperClusterTask


def make(height: int = 24, width: int = 24, **views: object) -> tuple[DeeperClusterTask, Tensor]:
    """A task that knows two clusters of 16 images, dark and bright, and those images, all flat."""
    bright = torch.arange(16) % 2
    with seeded():
        config = DeeperClusterConfig.parse({"clusters": 2, "views": views}, "test")
        task = DeeperClusterTask(create_encoder("small", 3, seed=0), config, images=16).train()
    rng = torch.Generator().manual_seed(0)
    task.start_epoch(0, lambda: 10.0 * bright[:, None] + torch.randn(16, 8, generator=rng))
    images = (bright * 100 + 40 + torch.arange(16)).byte().view(-1, 1, 1, 1)
    return task, images.expand(-1, 3, height, width)


def test_classes_are_clusters_times_turns() -> None:
    """Logits that know each image's cluster and turn give loss 0, and no others do."""
    task, _ = make(flip=False)
    assert task.classes == 8
    images = noise(16)
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))

    def know(_: object, __: object, logits: Tensor) -> Tensor:
        upright = images.float() / 63.75 - 2
        known = torch.full_like(logits, -1000.0)
        for row, x in enumerate(seen[0]):
            for image in range(16):
                for turn in range(4):
                    if torch.allclose(upright[image].rot90(turn, dims=(1, 2)), x, atol=1e-5):
                        known[row, 4 * int(task.labels[image]) + turn] = 0
        return known

    task.cluster_classifier.register_forward_hook(know)
    output = task(images, torch.arange(16), torch.Generator())
    assert output.loss.item() == 0
    assert output.metrics["accuracy"] == 1


@pytest.mark.parametrize("shape", [(24, 24), (24, 32)])
def test_the_turn_of_a_flat_image_cannot_be_told_its_cluster_can(shape: tuple[int, int]) -> None:
    task, images = make(*shape)
    rows = descend(task, images, 20)
    for row in rows:
        assert row["loss"] > math.log(4) - 1e-4
        assert row["accuracy"] <= 1 / 4 + 1e-6
    assert rows[0]["loss"] == pytest.approx(math.log(8), rel=0.05)
    assert rows[-1]["loss"] < math.log(4) + 0.3


def test_the_encoder_sees_squares_only() -> None:
    task, images = make(24, 32)
    shapes: list[tuple[int, ...]] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    task(images, torch.arange(16), torch.Generator())
    assert shapes == [(64, 3, 24, 24)]
