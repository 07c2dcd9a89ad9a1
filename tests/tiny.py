"""Tasks, images and trainings that are small enough for tests."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import TASKS, Takes, create_task
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.logs import read_rows
from onlygood.pretrain.training.trainer import TrainResult, train
from onlygood.pretrain.views.fixed import FixedViews

SIDE = 24
BATCH = 32


@dataclass(frozen=True)
class Facts:
    """What a test must know of a task: options for tiny images, chance, and how its loss falls."""

    chance: float | None = None  # loss of an untrained network, where theory tells it
    share: float = 0.9  # what is left of the loss after ``steps``
    steps: int = 15
    lr: float = 0.05
    encoder: str = "small"
    options: dict[str, Any] = field(default_factory=dict)
    skip: int = 0  # first steps whose loss does not count: queues of random keys are easy
    resumed: dict[str, Any] = field(default_factory=dict)  # options that give resuming more to do


FACTS = {
    "rotation": Facts(math.log(4), share=0.6, steps=10),
    "geometric": Facts(math.log(72), share=0.8),
    "multi-head-rotation": Facts(math.log(36), share=0.8),
    "goad": Facts(math.log(72)),
    "relative-location": Facts(math.log(8), share=0.95, steps=30),
    "patch-svdd": Facts(math.log(8), share=0.95, steps=30, options={"views": {"crop": 8}}),
    "jigsaw": Facts(math.log(24), share=0.95, steps=30, options={"grid": 2}),
    "damaged-jigsaw": Facts(steps=20, options={"grid": 2}),
    "exemplar": Facts(math.log(64), steps=20),
    "exemplar-triplet": Facts(
        share=0.75,
        steps=25,
        lr=0.1,
        options={"crops": 2, "projection": 32, "views": {"scale": [0.5, 1.0]}},
    ),
    "counting": Facts(steps=20),
    "denoising": Facts(steps=20),
    "context-encoder": Facts(steps=20),
    "colorization": Facts(steps=20),
    "split-brain": Facts(encoder="split-small", steps=20),
    "simclr": Facts(math.log(2 * BATCH - 1)),  # at temperature 0.5 even perfect embeddings are far from 0
    "contrastive-da": Facts(math.log(4 * BATCH), options={"temperature": 0.5}),
    "csi": Facts(math.log(4)),
    "byol": Facts(steps=20, options={"hidden": 64, "projection": 32}),
    "simsiam": Facts(steps=20, options={"projection": 64, "bottleneck": 16}),
    "moco": Facts(
        math.log(63), share=0.97, steps=20, options={"queue": 64, "projection": 32, "temperature": 0.5}
    ),
    "barlow-twins": Facts(steps=20, options={"projection": 64, "scale": 0.01}),
    "vicreg": Facts(share=0.97, steps=40, options={"projection": 64}),
    "instance-discrimination": Facts(math.log(64), options={"temperature": 0.5}),
    "pirl": Facts(math.log(64), share=0.8, steps=30, options={"grid": 2, "temperature": 0.5}),
    "swav": Facts(share=0.95, options={"prototypes": 32, "queue": 64, "small_crops": 2}),
    "deepcluster": Facts(math.log(8), options={"clusters": 8, "least_steps": 8}),
    "deepcluster-v2": Facts(options={"clusters": 8}),
    "deepercluster": Facts(math.log(32), options={"clusters": 8, "least_steps": 8}),
    "jule": Facts(share=0.8, options={"clusters": 2, "projection": 32}),
    "sela": Facts(math.log(8), options={"clusters": 8}),
    "pcl": Facts(
        skip=2, steps=20, options={"clusters": [4, 8], "queue": 32, "warmup": 1.0}, resumed={"warmup": 0.0}
    ),
    "mae": Facts(encoder="vit-tiny-4", steps=30),
    "selfie": Facts(math.log(2), steps=30, options={"dim": 64, "grid": 2, "hidden": 0.5}),
    "multi-task": Facts(steps=20),
    "rotation-decoupling": Facts(share=0.6, options={"temperature": 0.5}, resumed={"switch": 0.3}),
    "s4l": Facts(share=0.6, resumed={"labelled_batch": 5}),
    "video-triplet": Facts(
        share=0.5, steps=20, options={"projection": 32, "switch": 1.0}, resumed={"switch": 0.5}
    ),
    "motion-segmentation": Facts(share=0.8, steps=20),
    "cutpaste": Facts(math.log(3), steps=30),
    "defects": Facts(math.log(2), steps=30, options={"views": {"crop": SIDE}}),
    "defect-maps": Facts(steps=30),
    "nsa": Facts(steps=20),
    "draem": Facts(steps=20),
    "svdd": Facts(share=0.2, lr=1e-4, encoder="lenet", resumed={"objective": "soft-boundary", "warmup": 0.3}),
}


def make(name: str, *, seed: int = 0, **options: Any) -> Task:
    facts = FACTS.get(name, Facts())
    backbone = create_encoder(facts.encoder, seed=seed)
    return create_task(
        name,
        backbone,
        facts.options | options,
        "image",
        images=64,
        seed=seed,
        labelled=(batch(structured(BATCH)), torch.arange(BATCH) % 4) if name == "s4l" else None,
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_views(views: FixedViews, x: Tensor) -> list[Tensor]:
    """All views, in their order."""
    found = {}
    for which in views.groups(x.shape[2], x.shape[3]):
        found |= zip(which, views(x, which).unbind(1), strict=True)
    return [found[number] for number in range(views.count)]


class Mean(nn.Module):
    """An encoder whose one feature is the mean of the image: of numbered images, the number."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2, 3))[:, None]


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Weights made inside follow from ``seed``; the global generator is put back."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        yield


def structured(count: int = 64, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    """Smooth images, each with its own colors and waves, lit from above: something for every task."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(height, width)
    images = np.empty((count, height, width, 3))
    for image in images:
        wave = np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * x + rng.uniform()))
        color = rng.uniform(60, 160, 3)
        image[...] = color + 20 * wave[..., None] + 70 * (1 - y[..., None]) + rng.normal(0, 2, image.shape)
    return images.clip(0, 255).astype(np.uint8)


def pictures(name: str, count: int = 64) -> NDArray[np.uint8]:
    """Structured images of the shape that the task takes; what is light in them moves."""
    takes = TASKS[name].takes
    images = structured(count, SIDE, 2 * SIDE if takes.video else SIDE)
    if takes is Takes.MOTION:
        light = images[:, :, :SIDE].mean(axis=3, keepdims=True)
        images[:, :, SIDE:] = 255 * (light > np.median(light, axis=(1, 2), keepdims=True))
    return images


def batch(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


class Store:
    """Images in memory, for the trainer."""

    fingerprint = "structured"

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images
        self.hashes = [str(number) for number in range(len(images))]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.images[ids]


def fit(
    task: Task, out: Path, images: NDArray[np.uint8], *, resume: bool = False, **values: Any
) -> TrainResult:
    settings = {"batch_size": BATCH, "precision": "fp32", "threads": 1, "log_every": 1, "warmup": 0.0}
    config = TrainConfig.parse(settings | values, "test")
    return train(task, Store(images), config, out, resume=resume, progress=False)


def rows(result: TrainResult) -> list[dict[str, float]]:
    return read_rows(result.log)


def descend(
    task: Task,
    images: Callable[[int], Tensor] | Tensor,
    steps: int,
    lr: float = 0.05,
    *,
    momentum: float = 0.9,
    ids: Callable[[int], Tensor] | None = None,
) -> list[dict[str, float]]:
    """Loss and metrics of each step of a short training on ``images``, or on ``images(step)``.

    The images are numbered from 0, or by ``ids(step)``. No epoch is started.
    """
    optimizer = torch.optim.SGD(task.param_groups(), lr, momentum, nesterov=momentum > 0)
    rows = []
    for step in range(steps):
        x = images if isinstance(images, Tensor) else images(step)
        numbers = torch.arange(len(x)) if ids is None else ids(step)
        output = task(x, numbers, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        torch.autograd.backward(output.loss)
        optimizer.step()
        task.after_step((step + 1) / steps)
        rows.append({"loss": output.loss.item()} | {k: v.item() for k, v in output.metrics.items()})
    return rows


def end(rows: list[dict[str, float]], metric: str = "loss", last: float = 1 / 3) -> float:
    """The mean of a metric over the ``last`` share of a training."""
    return float(np.mean([row[metric] for row in rows[-max(1, round(len(rows) * last)) :]]))


def settle(
    task: Task,
    images: Callable[[int], Tensor] | Tensor,
    steps: int,
    metric: str = "loss",
    *,
    last: float = 1 / 3,
    lr: float = 0.05,
) -> float:
    """The mean of a metric over the ``last`` share of a short training."""
    return end(descend(task, images, steps, lr), metric, last)


def noise(count: int, seed: int = 0, height: int = SIDE, width: int = SIDE) -> Tensor:
    """White noise, uint8 (count, 3, height, width)."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=rng)


def colored_noise(count: int, width: int = SIDE) -> Tensor:
    """Images uint8 (count, 3, 24, width), each with a color of its own."""
    rng = torch.Generator().manual_seed(0)
    color = torch.randint(0, 200, (count, 3, 1, 1), dtype=torch.uint8, generator=rng)
    return color + torch.randint(0, 50, (count, 3, SIDE, width), dtype=torch.uint8, generator=rng)


def flat_colors(count: int, height: int = SIDE, width: int = SIDE) -> Tensor:
    """Images uint8 (count, 3, height, width) of one color each: no turn, flip or shift changes them."""
    rng = torch.Generator().manual_seed(0)
    colors = torch.randint(0, 256, (count, 3, 1, 1), dtype=torch.uint8, generator=rng)
    return colors.expand(-1, -1, height, width)


def clouds(count: int) -> Tensor:
    """Smooth images uint8 (count, 3, 24, 24), no two alike."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255
    return functional.interpolate(coarse, size=SIDE, mode="bilinear").to(torch.uint8)


def waves(count: int, seed: int = 0) -> Tensor:
    """One wave along each side, uint8 (count, 3, 24, 24): what is missing can be guessed."""
    at = torch.arange(SIDE) / SIDE
    phase, color = torch.rand(2, count, 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    wave = torch.sin(6.28 * (phase + at)) * torch.cos(6.28 * (phase + at[:, None]))
    return (wave * 60 + 75 + 100 * color).byte()


def begin(task: Task, epoch: int, images: Tensor) -> None:
    """What the trainer does before an epoch."""

    def embed() -> Tensor:
        task.eval()
        with torch.no_grad():
            features = task.embed(images)
        task.train()
        return features

    task.start_epoch(epoch, embed)
