"""SimSiam: its loss, and that only the stop-gradient keeps the embeddings apart."""

import pytest
import torch
from tiny import descend, noise
from torch import Tensor, nn

from onlygood.pretrain.losses.regression import simsiam
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.simsiam import SimSiamConfig, SimSiamTask

BATCH = 32


def make() -> SimSiamTask:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return SimSiamTask(create_encoder("small"), SimSiamConfig(projection=64, bottleneck=16)).train()


def train(task: SimSiamTask) -> tuple[float, float]:
    """The last loss and spread on images whose views share nothing: agreement is cheapest by collapse."""
    last = descend(task, noise(BATCH), 20, lr=0.5)[-1]
    return last["loss"], last["embedding_spread"]


def leaky(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """SimSiam without its stop-gradient."""
    cosine = nn.functional.cosine_similarity
    return -(cosine(p1, z2).mean() + cosine(p2, z1).mean()) / 2


def test_the_loss_recomputed() -> None:
    p1, p2, z1, z2 = torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for i in range(5):
        for p, z in ((p1[i], z2[i]), (p2[i], z1[i])):
            expected -= float(p @ z / (p.norm() * z.norm())) / 10
    torch.testing.assert_close(simsiam(p1, p2, z1, z2), torch.tensor(expected))
    torch.testing.assert_close(simsiam(z1, z2, z2, z1), torch.tensor(-1.0))


def test_no_gradient_through_the_embeddings() -> None:
    rng = torch.Generator().manual_seed(0)
    p1, p2, z1, z2 = (torch.randn(5, 7, generator=rng).requires_grad_() for _ in range(4))
    torch.autograd.backward(simsiam(p1, p2, z1, z2))
    assert p1.grad is not None
    assert p1.grad.any()
    assert z1.grad is None


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
