"""JULE: when clusters merge, what its triplets are made of, and no way to win without looking."""

import pytest
import torch
from tiny import begin, colored_noise, descend, generator, noise, seeded
from torch import Tensor, nn

from onlygood.pretrain.losses.clustering import nmi
from onlygood.pretrain.losses.triplet import weighted_triplets
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.jule import JULEConfig, JULETask

IMAGES = 60
MARGIN = 0.2
PLAIN = {"flip": False}  # views that change nothing


def make(images: int = IMAGES, **options: object) -> JULETask:
    with seeded():
        config = JULEConfig.parse({"clusters": 3, "neighbors": 6, "projection": 32} | options, "test")
        return JULETask(create_encoder("small", 3, seed=0), config, images=images).train()


def kinds() -> Tensor:
    return torch.arange(IMAGES) % 3


def features() -> Tensor:
    """Three kinds, not so far apart that no edge joins them."""
    return torch.eye(3, 256)[kinds()] + 0.35 * torch.randn(IMAGES, 256, generator=generator())


def clusters(task: JULETask) -> int:
    assert task.count == task.labels.max() + 1
    assert len(task.labels.unique()) == task.count
    return int(task.count)


@pytest.mark.parametrize(("merged", "turns"), [(0.9, 1), (0.5, 3)])
def test_clusters_merge_in_equal_turns(merged: float, turns: int) -> None:
    """From some 20 clusters to 3 it takes one merging of 9 in 10, or three of each other one."""
    task, found, calls = make(merged=merged), [], []

    def embed() -> Tensor:
        calls.append(1)
        return features()

    for epoch in range(24):
        task.start_epoch(epoch, embed)
        found.append(clusters(task))
        task.after_step((epoch + 1) / 24)
    first = found[0]
    assert 12 <= first <= 24
    expected = [first, *(max(3, round(first * (1 - merged) ** turn)) for turn in range(1, turns + 1))]
    assert sorted(set(found), reverse=True) == sorted(set(expected), reverse=True)
    assert found == sorted(found, reverse=True)
    assert found.count(first) == 24 // (turns + 1)
    assert found[-1] == 3
    assert len(calls) == turns + 1  # embedding all images costs an epoch


def test_clusters_are_those_of_the_embeddings() -> None:
    task = make(projection=256)
    with torch.no_grad():
        nn.init.eye_(task.projector.weight)
        task.projector.bias.zero_()
    task.start_epoch(0, lambda: 3 * torch.eye(3, 256)[kinds()] + features())
    assert ((task.labels[:, None] == task.labels) <= (kinds()[:, None] == kinds())).all()
    task.after_step(0.6)
    task.start_epoch(1, lambda: 3 * torch.eye(3, 256)[kinds()] + features())
    assert nmi(task.labels, kinds()) == pytest.approx(1)


def test_the_loss_recomputed() -> None:
    """Triplets of two views each, labeled by the images' clusters."""
    task = make(views=PLAIN, weight=1.5, margin=0.3, negatives=40)
    task.start_epoch(0, features)
    seen: list[Tensor] = []
    task.projector.register_forward_hook(lambda *args: seen.append(args[2].detach()))
    ids = torch.arange(5, 21)
    output = task(colored_noise(16), ids, generator())
    z, labels = seen[0], task.labels[ids].repeat(2)
    torch.testing.assert_close(z[:16], z[16:])
    expected = weighted_triplets(z, labels, generator(), margin=0.3, weight=1.5, negatives=40)
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert output.metrics["clusters"] == clusters(task)


def test_until_there_are_clusters_each_image_is_its_own() -> None:
    task = make(views=PLAIN)
    pairs = task(noise(16), torch.arange(16), generator()).loss
    one = task(noise(1).expand(16, -1, -1, -1), torch.arange(16), generator()).loss
    assert pairs < MARGIN
    assert one.item() == pytest.approx(MARGIN, abs=1e-4)


def test_the_same_image_in_all_clusters_costs_the_margin_for_ever() -> None:
    task = make(views=PLAIN)
    task.start_epoch(0, features)
    rows = descend(task, noise(1).expand(16, -1, -1, -1), 5, momentum=0)
    assert [row["loss"] for row in rows] == pytest.approx([MARGIN] * 5, abs=1e-4)
    assert rows[-1]["embedding_spread"] < 1e-3


def test_kinds_of_images_are_found_and_learned() -> None:
    task = make()
    images = (kinds() * 80 + 20).byte().view(-1, 1, 1, 1) + (colored_noise(IMAGES) // 4)
    images = torch.where(torch.arange(3).view(1, 3, 1, 1) == kinds().view(-1, 1, 1, 1), images, images // 3)
    begin(task, 0, images)
    before = descend(task, images, 6)[0]["loss"]
    task.after_step(0.6)
    begin(task, 1, images)
    assert nmi(task.labels, kinds()) > 0.8
    assert descend(task, images, 4)[-1]["loss"] < 0.5 * before


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images(count: int) -> None:
    task = make(8)
    for epoch in range(3):
        task.start_epoch(epoch, lambda: features()[:count])
        assert torch.isfinite(task(noise(8)[:count], torch.arange(count), generator()).loss)
        task.after_step((epoch + 1) / 3)
