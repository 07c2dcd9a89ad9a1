"""MoCo: its loss, its queue, and that batch norm does not give the keys away."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import clouds, descend, end, seeded

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.moco import MoCoConfig, MoCoTask

BATCH = 16


def make(**options: object) -> MoCoTask:
    with seeded():
        config = MoCoConfig.parse({"queue": 64, "projection": 32} | options, "test")
        return MoCoTask(create_encoder("small"), config).train()


def test_versions() -> None:
    assert MoCoConfig().temperature == 0.2
    assert MoCoConfig(version=1).temperature == 0.07
    assert MoCoConfig(version=1, temperature=0.3).temperature == 0.3
    assert len(make(version=1).projector) == 1
    assert len(make().projector) == 3


@pytest.mark.parametrize("version", [1, 2])
def test_the_start_is_chance(version: int) -> None:
    """An image's own keys in the queue do not count: 64 slots less the 4 that the first batch gives each."""
    task = make(version=version, temperature=0.5)
    loss = task(clouds(BATCH), torch.arange(BATCH), torch.Generator().manual_seed(0)).loss
    assert loss.item() == pytest.approx(math.log(1 + 64 - 4), rel=0.05)


def test_nothing_to_learn_stays_at_chance() -> None:
    """Equal images: neither batch, order nor queue tells the key; any cue would soon lower the loss.

    Without momentum, because keys of an older network can be told from new ones.
    """
    task = make(temperature=0.07, momentum=1.0)
    same = clouds(1).expand(BATCH, -1, -1, -1)
    rows = descend(task, same, 15, ids=lambda step: torch.arange(BATCH) + BATCH * (step % 4))
    assert end(rows, last=1 / 2) > math.log(1 + 64 - BATCH)


def test_the_queue_is_first_in_first_out() -> None:
    """The loss sees the queue before this batch's keys enter; they then replace the oldest."""
    task = make(queue=40)
    first, second = torch.arange(16), torch.arange(16, 32)
    task(clouds(BATCH), first, torch.Generator())
    assert task.pointer == 40 + 16  # filled all round once, then 16
    before = task.queue.clone()
    task(clouds(BATCH).flip(0), second, torch.Generator())
    assert task.queue_ids[16:32].tolist() == second.tolist()
    assert torch.equal(task.queue[:16], before[:16])
    assert not torch.isclose(task.queue[16:32], before[16:32]).all(dim=1).any()
    torch.testing.assert_close(task.queue.norm(dim=1), torch.ones(40))
    third = torch.arange(32, 48)
    task(clouds(BATCH), third, torch.Generator())
    assert task.queue_ids[:8].tolist() == third[8:].tolist()
    assert task.queue_ids[32:].tolist() == third[:8].tolist()
    assert task.pointer == 40 + 48


def test_no_group_of_keys_is_a_group_of_queries() -> None:
    """Statistics of a common group would tell the key. Views that change nothing, to know images again."""
    task = make(views={"flip": False})
    groups: dict[str, list[set[float]]] = {"queries": [], "keys": []}

    def note(name: str) -> Callable[[Any, Any], None]:
        return lambda _, inputs: groups[name].append({float(x.sum()) for x in inputs[0]})

    task.encoder.register_forward_pre_hook(note("queries"))
    task.target.register_forward_pre_hook(note("keys"))
    task(clouds(32), torch.arange(32), torch.Generator().manual_seed(0))
    assert [len(group) for group in groups["queries"]] == [len(group) for group in groups["keys"]] == [8] * 4
    assert set.union(*groups["queries"]) == set.union(*groups["keys"])
    assert all(len(q & k) <= 5 for q in groups["queries"] for k in groups["keys"])


def test_the_key_encoder_follows_without_gradient() -> None:
    task = make(momentum=0.75)
    task(clouds(BATCH), torch.arange(BATCH), torch.Generator()).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in task.target.parameters())
    before = [p.clone() for p in task.target.parameters()]
    with torch.no_grad():
        next(reversed(list(task.projector.parameters()))).add_(1.0)
    task.after_step(0.5)
    after = list(task.target.parameters())
    torch.testing.assert_close(after[-1] - before[-1], torch.full_like(before[-1], 0.25))
    assert torch.equal(after[0], before[0])
