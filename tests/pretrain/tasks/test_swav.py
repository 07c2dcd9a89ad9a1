"""SwAV: the loss recomputed, the queue, and that a constant embedding gains nothing."""

import math

import pytest
import torch
from tiny import colored_noise, descend, seeded
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.clustering import sinkhorn
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.swav import SwAVConfig, SwAVTask


def make(**options: object) -> SwAVTask:
    with seeded():
        config = SwAVConfig.parse({"prototypes": 12, "queue": 0} | options, "test")
        return SwAVTask(create_encoder("small", 3, seed=0), config).train()


def run(task: SwAVTask, x: Tensor, seed: int = 0) -> tuple[float, Tensor, list[tuple[int, ...]]]:
    """Loss, the projections (V, B, P), and the shapes that the encoder saw."""
    shapes: list[tuple[int, ...]] = []
    projected: list[Tensor] = []
    hooks = [
        task.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape))),
        task.projector.register_forward_hook(lambda *values: projected.append(values[2].detach())),
    ]
    output = task(x, torch.arange(len(x)), torch.Generator().manual_seed(seed))
    for hook in hooks:
        hook.remove()
    return output.loss.item(), projected[0].view(-1, len(x), projected[0].shape[1]), shapes


def test_the_loss_recomputed_and_the_small_crops_are_small() -> None:
    task = make(small_crops=2)
    with torch.no_grad():
        task.prototypes.mul_(7)  # lengths must not count
    loss, z, shapes = run(task, colored_noise(16, 30))
    assert shapes == [(32, 3, 24, 24), (32, 3, 12, 12)]
    scores = functional.normalize(z, dim=2) @ functional.normalize(task.prototypes.detach(), dim=1).T
    terms = []
    for g in range(2):
        q = sinkhorn(scores[g], 0.05)
        for v in range(4):
            if v != g:
                terms.append(-(q * (scores[v] / 0.1).log_softmax(dim=1)).sum(dim=1).mean().item())
    assert len(terms) == 6
    assert loss == pytest.approx(sum(terms) / 6, rel=1e-4)


def test_a_constant_embedding_gains_nothing() -> None:
    """The codes are shared equally, so the best guess for images that look the same is uniform: log K."""
    task = make(small_crops=1)
    same = torch.full((16, 3, 24, 24), 90, dtype=torch.uint8)
    task.config = task.config.model_copy(
        update={
            "views": task.config.views.model_copy(
                update={"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "gray": 0.0}
            )
        }
    )
    rows = descend(task, same, 12, lr=0.1, momentum=0)
    assert all(row["loss"] > math.log(12) - 1e-3 for row in rows)
    assert rows[-1]["embedding_spread"] < 0.05


def test_spread_of_different_images_is_far_from_collapse() -> None:
    output = make()(colored_noise(16), torch.arange(16), torch.Generator().manual_seed(0))
    assert output.metrics["embedding_spread"] > 0.3


def test_the_queue_waits_for_its_start_and_fills_in_turn() -> None:
    task = make(queue=40, queue_start=0.5, small_crops=0)
    x = colored_noise(16)
    task.after_step(0.4)
    run(task, x)
    assert not task.queue.any()
    task.after_step(0.5)
    seen = []
    for seed in range(4):
        _, z, _ = run(task, x, seed)
        seen.append(functional.normalize(z, dim=2))
    stream = torch.cat(seen, dim=1)  # 64 embeddings of each crop, of which the last 40 are kept
    expected = torch.cat([stream[:, 40:64], stream[:, 24:40]], dim=1)
    torch.testing.assert_close(task.queue, expected)


def test_a_full_queue_joins_the_assignment_and_an_empty_one_does_not() -> None:
    x = colored_noise(16)
    plain, _, _ = run(make(small_crops=0), x)
    task = make(queue=32, queue_start=0.0, small_crops=0)
    empty, _, _ = run(task, x)
    assert empty == plain
    favorite = functional.normalize(task.prototypes.detach()[:1], dim=1)
    task.queue.copy_(favorite.expand_as(task.queue))
    task.queued.fill_(32)
    full, z, _ = run(task, x)
    prototypes = functional.normalize(task.prototypes.detach(), dim=1)
    scores = functional.normalize(z, dim=2) @ prototypes.T
    terms = []
    for g in range(2):
        q = sinkhorn(torch.cat([favorite.expand(32, -1) @ prototypes.T, scores[g]]), 0.05)[32:]
        terms.append(-(q * (scores[1 - g] / 0.1).log_softmax(dim=1)).sum(dim=1).mean().item())
    assert full == pytest.approx(sum(terms) / 2, rel=1e-4)
    assert full != pytest.approx(plain, rel=1e-3)
