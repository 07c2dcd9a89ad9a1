"""DeepCluster: weights against trivial clusters, its clusterings, and where it stays at chance."""

import math

import pytest
import torch
from tiny import descend, seeded
from torch import Tensor

from onlygood.pretrain.losses.clustering import nmi
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.deepcluster import DeepClusterConfig, DeepClusterTask

IMAGES = 40


def make(seed: int = 0, **options: object) -> DeepClusterTask:
    with seeded(seed):
        config = DeepClusterConfig.parse({"clusters": 4, "pca": 3, "least_steps": 1} | options, "test")
        return DeepClusterTask(create_encoder("small", 3, seed=0), config, images=IMAGES).train()


def groups() -> Tensor:
    """Which of four kinds each image is: very unequal."""
    return torch.tensor([0] * 25 + [1] * 8 + [2] * 4 + [3] * 3)


def features() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return 10 * torch.eye(4, 16)[groups()] + 0.1 * torch.randn(IMAGES, 16, generator=rng)


def images() -> Tensor:
    """Flat gray images, their brightness that of their kind."""
    return (groups() * 60 + 20).byte().view(-1, 1, 1, 1).expand(-1, 3, 24, 24)


def test_clusters_and_weights_are_those_of_the_features() -> None:
    task = make()
    task.start_epoch(0, features)
    assert nmi(task.labels, groups()) == pytest.approx(1)
    sizes = torch.bincount(task.labels)
    torch.testing.assert_close(task.weights, 1 / sizes)


def test_loss_recomputed() -> None:
    """Every cluster has the same say, however many images it has."""
    task = make()
    task.start_epoch(0, features)
    with torch.no_grad():
        task.cluster_classifier.weight.mul_(100)
    outputs: list[Tensor] = []
    task.cluster_classifier.register_forward_hook(lambda *values: outputs.append(values[2].detach()))
    output = task(images(), torch.arange(IMAGES), torch.Generator().manual_seed(0))
    right, losses = [], []
    for k in range(4):
        rows = outputs[0][task.labels == k]
        losses.append(-rows.log_softmax(dim=1)[:, k].mean().item())
        right.append((rows.argmax(dim=1) == k).float().mean().item())
    assert output.loss.item() == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert output.metrics["accuracy"].item() == pytest.approx(sum(right) / 4)


def test_naming_the_largest_cluster_is_chance() -> None:
    """25 of 40 images are in one cluster; unweighted, naming it always would score .625 and cost 0.98."""
    task = make()
    task.start_epoch(0, features)
    same = torch.full((IMAGES, 3, 24, 24), 100, dtype=torch.uint8)
    for row in descend(task, same, 15, lr=0.1, momentum=0):
        assert row["accuracy"] == pytest.approx(1 / 4)
        assert row["loss"] > math.log(4) - 1e-4


def test_what_can_be_learned_is_learned() -> None:
    task = make()
    task.start_epoch(0, features)
    first, *_, last = descend(task, images(), 15)
    assert first["loss"] == pytest.approx(math.log(4), rel=0.05)
    assert last["loss"] < 0.5 * first["loss"]


def test_each_clustering_starts_the_classifier_anew_from_seed_and_epoch() -> None:
    task, again, other = make(), make(), make(seed=1)
    for each in (task, again, other):
        each.start_epoch(0, features)
        each.after_step(0.1)
    first = task.cluster_classifier.weight.clone()
    assert torch.equal(again.cluster_classifier.weight, first)
    assert not torch.equal(other.cluster_classifier.weight, first)
    assert first.std().item() == pytest.approx(0.01, rel=0.1)
    with torch.no_grad():
        task.cluster_classifier.bias.fill_(3)
    task.start_epoch(1, features)
    assert not torch.equal(task.cluster_classifier.weight, first)
    assert not task.cluster_classifier.bias.any()
    assert task.nmi == pytest.approx(1)
    task.after_step(0.2)
    task.start_epoch(2, lambda: features().roll(20, 0))
    assert task.nmi < 0.9


def test_young_clusters_are_kept() -> None:
    task = make(least_steps=3)
    calls: list[int] = []

    def embed() -> Tensor:
        calls.append(1)
        return features()

    for epoch in range(5):
        task.start_epoch(epoch, embed)
        task.after_step(0.5)
    assert len(calls) == 2  # at epochs 0 and 3


def test_fewer_images_than_clusters_or_than_expected() -> None:
    task = make(clusters=100)
    assert task.classes == IMAGES
    task.start_epoch(0, lambda: features()[:10])
    assert (task.weights > 0).sum() == 10
    output = task(images()[:10], torch.arange(10), torch.Generator().manual_seed(0))
    assert output.loss.item() == pytest.approx(math.log(IMAGES), rel=0.05)
