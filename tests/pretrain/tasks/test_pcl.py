"""PCL: both losses recomputed, the queue and the memory, and what follows what."""

import math

import pytest
import torch
from tiny import begin, colored_noise, descend, seeded
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.clustering import concentration
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.pcl import PCLConfig, PCLTask

IMAGES = 24


def make(*, images: int = IMAGES, **options: object) -> PCLTask:
    with seeded():
        config = PCLConfig.parse({"clusters": [3, 6], "warmup": 0.0, "queue": 16} | options, "test")
        return PCLTask(create_encoder("small", 3, seed=0), config, images=images).train()


def step(task: PCLTask, x: Tensor, ids: Tensor, seed: int = 0) -> tuple[dict[str, float], Tensor]:
    """Losses and normalized queries (B, P) of one step."""
    projected: list[Tensor] = []
    hook = task.projector.register_forward_hook(lambda *values: projected.append(values[2].detach()))
    output = task(x, ids, torch.Generator().manual_seed(seed))
    hook.remove()
    losses = {"loss": output.loss.item(), **{name: value.item() for name, value in output.metrics.items()}}
    return losses, functional.normalize(projected[0], dim=1)


def test_both_losses_recomputed() -> None:
    task, x = make(), colored_noise(IMAGES)
    begin(task, 0, x)
    step(task, x[:8], torch.arange(8), 1)  # so that the queue holds keys of images 0 to 7
    queue, queue_ids = task.queue.clone(), task.queue_ids.clone()
    ids = torch.tensor([3, 12, 7, 20])
    losses, queries = step(task, x[ids], ids)
    keys = task.memory[ids]  # just remembered
    instances, prototypes = [], []
    for row in range(4):
        others = [queries[row] @ queue[n] / 0.2 for n in range(16) if queue_ids[n] != ids[row]]
        logits = torch.stack([queries[row] @ keys[row] / 0.2, *others])
        assert len(others) == (15 if ids[row] < 8 else 16)
        instances.append(-logits.log_softmax(dim=0)[0].item())
        for head, k in enumerate((3, 6)):
            scores = queries[row] @ task.centroids[head, :k].T / task.temperatures[head, :k]
            prototypes.append(-scores.log_softmax(dim=0)[task.labels[head, ids[row]]].item())
    assert losses["instances"] == pytest.approx(sum(instances) / 4, rel=1e-4)
    assert losses["prototypes"] == pytest.approx(sum(prototypes) / 8, rel=1e-4)
    assert losses["loss"] == pytest.approx(losses["instances"] + losses["prototypes"], rel=1e-6)


def test_prototypes_and_their_temperatures_are_those_of_the_remembered_keys() -> None:
    task, x = make(), colored_noise(IMAGES)
    begin(task, 0, x)
    ids = torch.arange(16)
    step(task, x[:16], ids)
    task.after_step(0.5)
    task.start_epoch(1, lambda: pytest.fail("no pass over the images is needed"))
    assert (task.temperatures > 0).sum(dim=1).tolist() == [3, 6]
    for head, k in enumerate((3, 6)):
        labels, centroids = task.labels[head], task.centroids[head, :k]
        for cluster in range(k):
            middle = functional.normalize(task.memory[labels == cluster].mean(dim=0), dim=0)
            torch.testing.assert_close(centroids[cluster], middle)
        torch.testing.assert_close(
            task.temperatures[head, :k], concentration(task.memory, labels, centroids, 0.2, 10.0)
        )
    assert 0 < task.nmi < 1


def test_prototypes_wait_for_the_warm_up() -> None:
    task, x = make(warmup=0.5), colored_noise(IMAGES)
    begin(task, 0, x)
    ids = torch.arange(IMAGES)
    assert step(task, x, ids)[0]["prototypes"] == 0
    task.after_step(0.4)
    begin(task, 1, x)
    assert step(task, x, ids)[0]["prototypes"] == 0
    task.after_step(0.5)
    begin(task, 2, x)
    assert step(task, x, ids)[0]["prototypes"] > 0


def test_the_queue_keeps_the_latest_keys_and_whose_they_are() -> None:
    task, x = make(queue=10), colored_noise(IMAGES)
    seen_keys, seen_ids = [], []
    for seed, ids in enumerate((torch.arange(8), torch.arange(8, 24), torch.tensor([3, 1, 2]))):
        step(task, x[ids], ids, seed)
        seen_keys.append(task.memory[ids])
        seen_ids.append(ids)
    keys, ids = torch.cat(seen_keys)[-10:], torch.cat(seen_ids)[-10:]
    where = task.queue_ids.argsort()
    assert torch.equal(task.queue_ids[where], ids.sort().values)
    torch.testing.assert_close(task.queue[where], keys[ids.argsort()])
    assert make(queue=1000).queue.shape[0] == IMAGES


def test_keys_follow_queries_slowly() -> None:
    task = make(momentum=0.75)
    before = [p.clone() for p in task.keys.parameters()]
    mine = [*task.encoder.parameters(), *task.projector.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, mine, strict=True))
    with torch.no_grad():
        for parameter in mine:
            parameter.add_(1)
    task.after_step(0.1)
    for old, new in zip(before, task.keys.parameters(), strict=True):
        assert not new.requires_grad
        torch.testing.assert_close(new, old + 0.25)


def test_identical_images_cannot_be_told_apart() -> None:
    """Neither place in the batch nor batch norm tells which key is whose: the best is log of all keys."""
    task = make(images=64, queue=32, warmup=1.0, views={"flip": False})
    same = torch.full((16, 3, 24, 24), 100, dtype=torch.uint8)
    rows = descend(task, same, 14, momentum=0, ids=lambda step: torch.arange(16) + 16 * (step % 4))
    assert all(row["loss"] > math.log(33) - 0.02 for row in rows[4:])
    assert rows[-1]["embedding_spread"] < 0.01


def test_collapse_shows() -> None:
    task, x = make(), colored_noise(IMAGES)
    healthy = task(x, torch.arange(IMAGES), torch.Generator().manual_seed(0)).metrics["embedding_spread"]
    assert healthy > 0.3
    with torch.no_grad():
        task.projector[-1].weight.mul_(1e-4)  # type: ignore[operator]
        task.projector[-1].bias.fill_(1)  # type: ignore[operator]
    collapsed = task(x, torch.arange(IMAGES), torch.Generator().manual_seed(0)).metrics["embedding_spread"]
    assert collapsed < 0.01


def test_fewer_images_than_clusters_or_than_expected() -> None:
    task, x = make(clusters=[5, 1000]), colored_noise(IMAGES)
    begin(task, 0, x[:10])
    assert (task.temperatures > 0).sum(dim=1).tolist() == [5, 10]
    assert math.isfinite(step(task, x[:10], torch.arange(10))[0]["loss"])
