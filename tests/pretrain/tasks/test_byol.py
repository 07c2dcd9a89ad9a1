"""BYOL: its loss, its slow target, and that only the predictor keeps the embeddings apart."""

import pytest
import torch
from tiny import descend, noise, seeded
from torch import Tensor, nn

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.byol import BYOLConfig, BYOLTask
from onlygood.pretrain.views.views import Views

BATCH = 32


def make(**options: object) -> BYOLTask:
    values = {"hidden": 64, "projection": 32, "momentum": 0.9} | options
    with seeded():
        return BYOLTask(create_encoder("small"), BYOLConfig.parse(values, "test")).train()


def train(task: BYOLTask) -> tuple[float, float]:
    """The last loss and spread on images whose views share nothing: agreement is cheapest by collapse."""
    last = descend(task, noise(BATCH), 20, lr=0.5)[-1]
    return last["loss"], last["embedding_spread"]


def test_the_loss_is_both_directions() -> None:
    """Recomputed from the parts; views that change nothing, so that both are the plain image."""
    task = make(views={"flip": False}).eval()
    images = noise(BATCH)
    x = (images.float() - 127.5) / 63.75
    z = task.projector(task.encoder(x))
    p = nn.functional.normalize(task.predictor(z), dim=1)
    t = nn.functional.normalize(task.target(x), dim=1)
    loss = task(images, torch.arange(BATCH), torch.Generator()).loss
    torch.testing.assert_close(loss, 2 * (p - t).square().sum(dim=1).mean())


def test_views_may_differ() -> None:
    """The second view has its own strengths, and the target and the predictor see both."""
    task = make(views={"flip": False}, other_views=Views(flip=False, contrast=0.9))
    seen: list[Tensor] = []
    task.target.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task(noise(BATCH), torch.arange(BATCH), torch.Generator())
    torch.testing.assert_close(seen[0], (noise(BATCH).float() - 127.5) / 63.75)
    assert (seen[1] - seen[0]).abs().max() > 0.5


def test_the_target_gets_no_gradient_and_moves_after_the_step() -> None:
    task = make()
    before = [p.clone() for p in task.target.parameters()]
    task(noise(BATCH), torch.arange(BATCH), torch.Generator()).loss.backward()
    assert all(p.grad is None for p in task.target.parameters())
    with torch.no_grad():
        for parameter in task.projector.parameters():
            parameter.add_(1.0)
    task.after_step(0.5)
    moved = [(p - q).abs().max().item() for p, q in zip(task.target.parameters(), before, strict=True)]
    assert moved[-1] == pytest.approx(0.05, rel=1e-4)
    assert moved[0] == 0.0
    task.after_step(1.0)
    still = [(p - q).abs().max().item() for p, q in zip(task.target.parameters(), before, strict=True)]
    assert still == moved


def test_embeddings_stay_apart() -> None:
    _, spread = train(make())
    assert spread > 0.4


def test_without_the_predictor_they_collapse() -> None:
    task = make()
    task.predictor = nn.Identity()
    loss, spread = train(task)
    assert spread < 0.05
    assert loss < 0.02  # and the loss likes it
