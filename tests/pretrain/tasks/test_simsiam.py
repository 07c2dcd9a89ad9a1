"""SimSiam: its loss, and that only the stop-gradient keeps the embeddings apart."""

import pytest
import torch
from tiny import descend, noise, seeded
from torch import Tensor, nn

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.simsiam import SimSiamConfig, SimSiamTask

BATCH = 32


def make() -> SimSiamTask:
    with seeded():
        return SimSiamTask(create_encoder("small"), SimSiamConfig(projection=64, bottleneck=16)).train()


def train(task: SimSiamTask) -> tuple[float, float]:
    """The last loss and spread on images whose views share nothing: agreement is cheapest by collapse."""
    last = descend(task, noise(BATCH), 20, lr=0.5)[-1]
    return last["loss"], last["embedding_spread"]


def leaky(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """SimSiam without its stop-gradient."""
    cosine = nn.functional.cosine_similarity
    return -(cosine(p1, z2).mean() + cosine(p2, z1).mean()) / 2


def test_it_starts_at_unrelated() -> None:
    """Predictions of an untrained predictor say nothing: cosine 0."""
    loss = make()(noise(BATCH), torch.arange(BATCH), torch.Generator().manual_seed(0)).loss
    assert loss.item() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("stopped", [True, False])
def test_the_stop_gradient_prevents_collapse(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    """Without the projector's last norm, which would hold 32 embeddings apart by force for a while."""
    task = make()
    assert not any(True for _ in task.projector[-1].parameters())  # a norm without scale or shift
    task.projector[-1] = nn.Identity()
    if not stopped:
        monkeypatch.setattr("onlygood.pretrain.tasks.simsiam.simsiam", leaky)
    loss, spread = train(task)
    if stopped:
        assert spread > 0.5
        assert loss > -0.9
    else:
        assert spread < 0.1
        assert loss < -0.98
