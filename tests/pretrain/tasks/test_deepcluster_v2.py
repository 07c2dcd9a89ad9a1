"""DeepCluster v2: the loss recomputed, what is remembered, and its clusterings."""

import pytest
import torch
from tiny import begin, colored_noise, descend, seeded
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.deepcluster_v2 import DeepClusterV2Config, DeepClusterV2Task

IMAGES = 24


def make(*, images: int = IMAGES, **options: object) -> DeepClusterV2Task:
    with seeded():
        config = DeepClusterV2Config.parse({"clusters": 4, "heads": 2} | options, "test")
        return DeepClusterV2Task(create_encoder("small", 3, seed=0), config, images=images).train()


def step(task: DeepClusterV2Task, x: Tensor, ids: Tensor, seed: int = 0) -> tuple[float, Tensor]:
    """Loss and normalized embeddings (2, B, P) of one step."""
    projected: list[Tensor] = []
    hook = task.projector.register_forward_hook(lambda *values: projected.append(values[2].detach()))
    loss = task(x, ids, torch.Generator().manual_seed(seed)).loss.item()
    hook.remove()
    return loss, functional.normalize(projected[0], dim=1).view(2, len(x), -1)


def test_loss_recomputed() -> None:
    task, x = make(), colored_noise(IMAGES)
    begin(task, 0, x)
    ids = torch.tensor([3, 7, 20, 11, 5])
    loss, z = step(task, x[ids], ids)
    terms = [
        -(z[view, row] @ task.centroids[head].T / 0.1).log_softmax(dim=0)[task.labels[head, ids[row]]].item()
        for head in range(2)
        for view in range(2)
        for row in range(5)
    ]
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_views_are_remembered_and_clustered_in_the_next_epoch_without_a_pass() -> None:
    """Head 0 clusters the first views, head 1 the second ones; unseen images keep their plain embedding."""
    task, x = make(), colored_noise(IMAGES)
    begin(task, 0, x)
    plain = task.memory.clone()
    assert torch.equal(plain[0], plain[1])
    torch.testing.assert_close(plain.norm(dim=2), torch.ones(2, IMAGES))
    ids = torch.arange(16).flip(0)
    _, z = step(task, x[ids], ids)
    assert torch.equal(task.memory[:, ids], z)
    assert torch.equal(task.memory[:, 16:], plain[:, 16:])
    task.start_epoch(1, lambda: pytest.fail("no pass over the images is needed"))
    for head in range(2):
        for k in range(4):
            members = task.memory[head][task.labels[head] == k]
            assert len(members) > 0
            middle = functional.normalize(members.mean(dim=0), dim=0)
            torch.testing.assert_close(task.centroids[head, k], middle)


def test_heads_and_epochs_start_from_different_points() -> None:
    task, x = make(clusters=8, iterations=1), colored_noise(IMAGES)
    begin(task, 0, x)
    assert not torch.equal(task.labels[0], task.labels[1])
    first = task.labels.clone()
    begin(task, 1, x)
    assert not torch.equal(task.labels, first)
    again = make(clusters=8, iterations=1)
    begin(again, 0, x)
    assert torch.equal(again.labels, first)


def test_learning_brings_views_to_their_centroids() -> None:
    task, x = make(), colored_noise(IMAGES)
    begin(task, 0, x)
    first, *_, last = descend(task, x, 10)
    assert last["loss"] < 0.8 * first["loss"]
    assert last["agreement"] > first["agreement"] + 0.1


def test_collapse_shows() -> None:
    task, x = make(), colored_noise(IMAGES)
    begin(task, 0, x)
    healthy = task(x, torch.arange(IMAGES), torch.Generator().manual_seed(0)).metrics["embedding_spread"]
    with torch.no_grad():
        task.projector[-1].weight.mul_(1e-4)  # type: ignore[operator]
        task.projector[-1].bias.fill_(1)  # type: ignore[operator]
    collapsed = task(x, torch.arange(IMAGES), torch.Generator().manual_seed(0)).metrics["embedding_spread"]
    assert healthy > 0.3
    assert collapsed < 0.01


def test_fewer_images_than_clusters_or_than_expected() -> None:
    """Prototypes without a cluster are out of the softmax: a perfect fit of ten images costs what ten do."""
    task, x = make(clusters=100), colored_noise(IMAGES)
    assert task.centroids.shape[1] == IMAGES
    begin(task, 0, x[:10])
    assert (task.temperatures > 0).sum(dim=1).tolist() == [10, 10]
    ids = torch.arange(10)
    loss, z = step(task, x[:10], ids)
    terms = [
        functional.cross_entropy(z[view] @ task.centroids[head, :10].T / 0.1, task.labels[head, :10]).item()
        for head in range(2)
        for view in range(2)
    ]
    assert loss == pytest.approx(sum(terms) / 4, rel=1e-4)
