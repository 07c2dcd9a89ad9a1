"""A toy task for tests of the training loop: its state has every kind, and a test may act at any step."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.trainer import train
from onlygood.runtime.strict import Strict


class FakeStore:
    """``count`` images 8 × 6, the first pixel of each its number."""

    def __init__(self, count: int = 10, fingerprint: str = "abc", hashes: str = "0123456789") -> None:
        self.pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
        self.pixels[:, 0, 0, 0] = np.arange(count)
        self.fingerprint, self.hashes = fingerprint, list(hashes)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[ids]


class ToyEncoder(nn.Module):
    name = "toy"
    channels = 3
    dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.conv(x)).relu()).mean(dim=(2, 3))


class Toy(Task):
    """Which of three noise levels was added? What happens at a step can be set by ``at``."""

    classes = 3

    def __init__(self, at: dict[int, Callable[["Toy"], None]] | None = None, seed: int = 0) -> None:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            super().__init__(ToyEncoder(), Strict(), "fixed")  # type: ignore[arg-type]
            self.classifier = nn.Linear(4, 3)
        self.register_buffer("queue", torch.zeros(4))
        self.register_buffer("count", torch.tensor(0))
        self.at = at or {}
        self.seen: list[list[int]] = []
        self.told: list[float] = []
        self.epochs: list[tuple[int, Tensor]] = []

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        assert images.dtype == torch.uint8
        assert ids.dtype == torch.int64
        self.seen.append(ids.tolist())
        labels = torch.randint(0, 3, (len(images),), generator=rng)
        noise = torch.randn(images.shape, generator=rng) * labels.view(-1, 1, 1, 1)
        features = self.encoder(images.float() / 64 - 2 + noise)
        logits = self.classifier(features).float() + 0.01 * self.queue.mean()
        loss = nn.functional.cross_entropy(logits, labels)
        self.queue.copy_(features.detach().float().mean(0))
        accuracy = (logits.argmax(1) == labels).float().mean()
        return TaskOutput(loss, {"accuracy": accuracy}, features.detach())

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        self.epochs.append((epoch, embed()))

    def after_step(self, progress: float) -> None:
        self.count += 1
        self.told.append(progress)
        if self.count.item() in self.at:
            self.at[int(self.count)](self)


def config(**values: Any) -> TrainConfig:
    defaults = {"steps": 6, "batch_size": 4, "precision": "fp32", "threads": 1, "log_every": 1, "seed": 3}
    return TrainConfig.parse(defaults | values, "test")


def run(task: Task, out: Path, *, store: FakeStore | None = None, resume: bool = False, **values: Any) -> Any:
    return train(task, store or FakeStore(), config(**values), out, resume=resume, progress=False)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def send(number: int) -> Callable[[Toy], None]:
    return lambda _: os.kill(os.getpid(), number)


def break_weights(task: Toy) -> None:
    with torch.no_grad():
        task.classifier.weight.fill_(float("nan"))
