"""Each check of the network on a task with one planted fault, and none on a sound one."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.doctor import network
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import TaskOutput
from onlygood.pretrain.tasks.rotation import RotationConfig, RotationTask
from onlygood.pretrain.training.config import TrainConfig


class Faulty(RotationTask):
    """Rotation; a fault is a method in its place."""

    fault: Callable[..., TaskOutput] | None = None

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        output = super().loss(images, ids, rng)
        return self.fault(output, images) if self.fault else output


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(network, "_STEPS", 12)
    monkeypatch.setattr(network, "_BATCH", 12)


def sound() -> Faulty:
    torch.manual_seed(0)
    return Faulty(create_encoder("small", channels=1, seed=0), RotationConfig(), "image")


def images() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    picture = torch.zeros(12, 1, 16, 16)
    picture[:, :, 2:6, 3:9] = 150
    return (picture + torch.rand(picture.shape, generator=rng) * 60).to(torch.uint8)


def checks(task: Faulty, **changes: Any) -> set[str]:
    config = TrainConfig.parse({"batch_size": 16} | changes, "test")
    return {finding.check for finding in network.examine_network(lambda: task, images(), config)}


def test_a_sound_task_has_no_finding() -> None:
    assert checks(sound()) == set()


def large_start(task: Faulty) -> None:
    assert isinstance(task.view_classifier, nn.Linear)
    nn.init.normal_(task.view_classifier.weight, std=3.0)


def frozen(task: Faulty) -> None:
    for parameter in task.encoder.blocks[0].parameters():
        parameter.requires_grad = False


def unused(task: Faulty) -> None:
    task.spare = nn.Linear(2, 2)


def infinite(task: Faulty) -> None:
    task.fault = lambda output, _: TaskOutput(output.loss * math.nan, output.metrics)


def cut_off(task: Faulty) -> None:
    task.fault = lambda output, _: TaskOutput(output.loss.detach() + 0 * task.view_classifier.weight.sum())


def scaled(task: Faulty) -> None:
    task.encoder.blocks[-1].register_forward_hook(lambda _, __, out: out * 20)


def silenced(task: Faulty) -> None:
    keep = torch.arange(task.encoder.dim) % 2 == 0
    task.encoder.blocks[-1].register_forward_hook(lambda _, __, out: out * keep.view(1, -1, 1, 1))


def norms_left_training(task: Faulty) -> None:
    norm = next(m for m in task.encoder.modules() if isinstance(m, nn.BatchNorm2d))
    norm.train = lambda mode=True: norm  # type: ignore[method-assign, assignment]


def statistics_kept(task: Faulty) -> None:
    for module in task.encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0


def leaking(task: Faulty) -> None:
    leak = task.leak = nn.Parameter(torch.zeros(()))

    def fault(_: TaskOutput, batch: Tensor) -> TaskOutput:
        labels = torch.arange(4).repeat_interleave(len(batch))
        logits = functional.one_hot(labels, 4).float() * (1 + leak)
        loss = functional.cross_entropy(logits, labels) + 0 * sum(p.sum() for p in task.parameters())
        right = (logits.argmax(dim=1) == labels).float().mean()
        return TaskOutput(loss, {"cross_entropy": loss.detach(), "accuracy": right})

    task.fault = fault


FAULTS: dict[str, tuple[Callable[[Faulty], None], str, dict[str, Any]]] = {
    "a last layer that is too large": (large_start, "loss at start", {}),
    "a frozen stage": (frozen, "frozen", {}),
    "parameters that nothing reads": (unused, "dead parameters", {}),
    "a loss that is no number": (infinite, "not a number", {}),
    "a gradient that is cut off": (cut_off, "overfits a batch", {}),
    "a learning rate of nearly nothing": (lambda _: None, "updates", {"lr": 1e-7}),
    "a stage that is too loud": (scaled, "activation spread", {}),
    "channels that are off": (silenced, "dead channels", {}),
    "norms that stay in training mode": (norms_left_training, "evaluation mode", {}),
    "norms that keep no statistics": (statistics_kept, "batch norm statistics", {}),
    "labels that leak": (leaking, "shuffled labels", {}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    plant, check, changes = FAULTS[name]
    task = sound()
    plant(task)
    assert check in checks(task, **changes)
