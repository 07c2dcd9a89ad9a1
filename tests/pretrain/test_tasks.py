"""The contract of every pretext task, Deep SVDD included, and that none has a shortcut."""

import inspect
import math
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.anomaly.tasks import ALL_TASKS
from onlygood.deploy.runtime.errors import Interrupted, OnlygoodError
from onlygood.deploy.runtime.strict import Strict
from onlygood.pretrain.config import TrainConfig
from onlygood.pretrain.encoders import create_encoder
from onlygood.pretrain.feed import Feed
from onlygood.pretrain.logs import read_rows
from onlygood.pretrain.process import Ranks
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import create_task
from onlygood.pretrain.trainer import TrainResult, train

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
    "relative-location": Facts(math.log(8), share=0.95, steps=30),
    "jigsaw": Facts(math.log(24), share=0.95, steps=30, options={"grid": 2}),
    "damaged-jigsaw": Facts(steps=20, options={"grid": 2}),
    "exemplar": Facts(math.log(64), steps=20),
    "exemplar-triplet": Facts(
        share=0.75,
        lr=0.2,
        options={"crops": 2, "projection": 32, "views": {"scale": [0.5, 1.0]}},
    ),
    "counting": Facts(steps=20),
    "denoising": Facts(steps=20),
    "context-encoder": Facts(steps=20),
    "colorization": Facts(steps=20),
    "split-brain": Facts(encoder="split-small", steps=20),
    "simclr": Facts(math.log(2 * BATCH - 1)),  # at temperature 0.5 even perfect embeddings are far from 0
    "byol": Facts(steps=20, options={"hidden": 64, "projection": 32}),
    "simsiam": Facts(steps=20, options={"projection": 64, "bottleneck": 16}),
    "moco": Facts(
        math.log(63), share=0.97, steps=20, options={"queue": 64, "projection": 32, "temperature": 0.5}
    ),
    "barlow-twins": Facts(steps=20, options={"projection": 64, "scale": 0.01}),
    "vicreg": Facts(share=0.97, steps=40, options={"projection": 64}),
    "instance-discrimination": Facts(math.log(64), options={"temperature": 0.5}),
    "pirl": Facts(math.log(64), share=0.8, steps=20, options={"grid": 2, "temperature": 0.5}),
    "swav": Facts(share=0.95, options={"prototypes": 32, "queue": 64, "small_crops": 2}),
    "deepcluster": Facts(math.log(8), options={"clusters": 8, "least_steps": 8}),
    "deepcluster-v2": Facts(options={"clusters": 8}),
    "deepercluster": Facts(math.log(32), options={"clusters": 8, "least_steps": 8}),
    "sela": Facts(math.log(8), options={"clusters": 8}),
    "pcl": Facts(
        skip=2, steps=20, options={"clusters": [4, 8], "queue": 32, "warmup": 1.0}, resumed={"warmup": 0.0}
    ),
    "mae": Facts(encoder="vit-tiny-4", steps=30),
    "multi-task": Facts(steps=20),
    "cutpaste": Facts(math.log(3), steps=30),
    "defects": Facts(math.log(2), steps=30, options={"views": {"crop": SIDE}}),
    "svdd": Facts(share=0.2, lr=1e-4, encoder="lenet", resumed={"objective": "soft-boundary", "warmup": 0.3}),
}


def make(name: str, *, seed: int = 0, **options: Any) -> Task:
    facts = FACTS.get(name, Facts())
    backbone = create_encoder(facts.encoder, seed=seed)
    return create_task(name, backbone, facts.options | options, "image", ALL_TASKS, images=64, seed=seed)


def structured(count: int = 64, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    """Smooth images, each with its own colours and waves, lit from above: something for every task."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(height, width)
    images = np.empty((count, height, width, 3))
    for image in images:
        wave = np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * x + rng.uniform()))
        colour = rng.uniform(60, 160, 3)
        image[...] = colour + 20 * wave[..., None] + 70 * (1 - y[..., None]) + rng.normal(0, 2, image.shape)
    return images.clip(0, 255).astype(np.uint8)


def batch(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


class Store:
    """Images in memory, for the trainer."""

    fingerprint = "structured"

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images

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


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


# --- the contract -------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_TASKS)
def test_output_and_gradients(name: str) -> None:
    """A scalar loss, a gradient for every parameter, detached metrics and features, inputs untouched."""
    task = make(name).train()
    images = batch(structured(8))
    before = images.clone()
    output = task(images, torch.arange(8), torch.Generator().manual_seed(0))
    assert output.loss.shape == ()
    assert all(m.shape == () and not m.requires_grad for m in output.metrics.values())
    assert output.features is not None
    assert not output.features.requires_grad
    assert output.features.shape[1] == task.encoder.dim
    assert (task.classes is None) == ("accuracy" not in output.metrics)
    assert torch.equal(images, before)
    output.loss.backward()
    parameters = {key: p for key, p in task.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.any() for p in parameters.values())
    grouped = [id(p) for group in task.param_groups() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in parameters.values())


@pytest.mark.parametrize("name", ALL_TASKS)
def test_every_draw_is_from_the_generator(name: str) -> None:
    images = batch(structured(8))

    def loss(seed: int) -> Tensor:
        torch.manual_seed(seed + 100)
        before = torch.random.get_rng_state()
        value = make(name).train()(images, torch.arange(8), torch.Generator().manual_seed(seed)).loss
        assert torch.equal(torch.random.get_rng_state(), before)
        return value.detach()

    assert torch.equal(loss(0), loss(0))
    if name != "svdd":  # which draws nothing by default
        assert not torch.equal(loss(0), loss(1))


@pytest.mark.parametrize("name", ALL_TASKS)
def test_embed_is_what_a_detector_sees(name: str) -> None:
    """Plain images through the encoder, in whatever company."""
    task = make(name).eval()
    images = batch(structured(6))
    with torch.no_grad():
        together, alone = task.embed(images), task.embed(images[2:3])
    assert together.shape == (6, task.encoder.dim)
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts.chance])
def test_the_start_is_chance(name: str) -> None:
    """An untrained network knows nothing; a loss below chance would mean that labels leak."""
    chance = FACTS[name].chance
    assert chance is not None
    task = make(name).train()
    images = structured()
    values = []
    for seed in range(6):
        some = batch(images[seed * 4 : seed * 4 + BATCH])
        output = task(some, torch.arange(BATCH), torch.Generator().manual_seed(seed))
        values.append(output.metrics.get("views", output.loss).item())
    assert np.mean(values) == pytest.approx(chance, rel=0.12)
    assert task.classes in {None, round(math.exp(chance))}


def test_every_task_is_known_here() -> None:
    assert FACTS.keys() == ALL_TASKS.keys()


@pytest.mark.parametrize("name", ALL_TASKS)
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    facts = FACTS[name]
    result = fit(make(name), tmp_path, structured(), steps=facts.steps, lr=facts.lr)
    losses = [row["loss"] for row in rows(result)]
    before, after = np.mean(losses[facts.skip : facts.skip + 2]), np.mean(losses[-3:])
    assert after < before - (1 - facts.share) * abs(before) - 0.01


@pytest.mark.parametrize("name", ALL_TASKS)
def test_four_steps_are_two_and_two_bit_for_bit(name: str, tmp_path: Path) -> None:
    images = structured(20)  # two epochs of two steps
    settings: dict[str, Any] = {"steps": 4, "batch_size": 10}
    options = FACTS[name].resumed

    whole = make(name, **options)
    expected = fit(whole, tmp_path / "whole", images, **settings)

    first = make(name, **options)
    after_step = first.after_step
    done: list[float] = []

    def stop_during_step_2(progress: float) -> None:
        after_step(progress)
        done.append(progress)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    first.after_step = stop_during_step_2  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        fit(first, tmp_path / "parts", images, **settings)
    assert not same(first, whole)
    second = make(name, seed=1, **options)
    result = fit(second, tmp_path / "parts", images, resume=True, **settings)

    assert same(second, whole)
    keys = expected.metrics.keys() & {"loss", "accuracy", "distance", "spread"}
    assert {key: result.metrics[key] for key in keys} == {key: expected.metrics[key] for key in keys}


def same(a: Task, b: Task) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    assert mine.keys() == theirs.keys()
    return all(torch.equal(mine[key], theirs[key]) for key in mine)


# --- no shortcuts -------------------------------------------------------------


def settled(name: str, images: NDArray[np.uint8], out: Path, *, steps: int = 12, **options: Any) -> Any:
    """Loss and accuracy over the second half of a training."""
    tail = rows(fit(make(name, **options), out, images, steps=steps))[steps // 2 :]
    return SimpleNamespace(
        loss=float(np.mean([row.get("views", row["loss"]) for row in tail])),
        accuracies=[row["accuracy"] for row in tail],
    )


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (16, 24)])
def test_rotation_of_flat_images_stays_at_chance(tmp_path: Path, shape: tuple[int, int]) -> None:
    """A flat image looks the same at every angle; borders, padding or an oblong shape must not tell it."""
    flat = np.broadcast_to(np.arange(0, 192, 6, np.uint8)[:, None, None, None], (BATCH, *shape, 3))
    end = settled("rotation", flat, tmp_path)
    assert end.accuracies == pytest.approx([1 / 4] * len(end.accuracies))
    assert end.loss > math.log(4) - 1e-3


def test_rotation_shows_the_encoder_squares_only() -> None:
    task = make("rotation").train()
    shapes: list[tuple[int, ...]] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    task(batch(structured(3, 16, 24)), torch.arange(3), torch.Generator())
    assert shapes == [(12, 3, 16, 16)]


def test_rotation_labels_are_the_turns() -> None:
    """The encoder sees each view four times; turned back by its label it is one and the same."""
    task = make("rotation").train()
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task(batch(structured(3)), torch.arange(3), torch.Generator())
    upright, *turned = seen[0].chunk(4)
    for k, images in enumerate(turned, 1):
        assert torch.equal(images.rot90(-k, dims=(2, 3)), upright)


def test_cutpaste_without_the_paste_is_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three versions of an image differ by the paste alone: without it, exactly a third are right."""
    monkeypatch.setattr("onlygood.pretrain.tasks.cutpaste.cut_paste", lambda x, rng, scar: x)
    end = settled("cutpaste", structured(), tmp_path)
    assert end.accuracies == pytest.approx([1 / 3] * len(end.accuracies))
    assert end.loss > math.log(3) - 1e-3


def test_defects_without_a_defect_are_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean and defective halves differ by the defect alone, not by views, order or place in the batch."""
    name = "onlygood.pretrain.tasks.defects.paste_defects"
    monkeypatch.setattr(name, lambda x, rng: (x, torch.zeros_like(x[:, 0])))
    end = settled("defects", structured(), tmp_path, steps=60)
    seen = BATCH * len(end.accuracies)
    assert np.mean(end.accuracies) == pytest.approx(1 / 2, abs=4 * math.sqrt(0.25 / seen))
    assert end.loss > math.log(2) - 0.05


def test_no_image_is_always_the_clean_one() -> None:
    """`defects` splits a batch in halves: the trainer's order puts every image into both, in turn."""
    feed = Feed(Store(structured(20)), np.arange(20), 10, 0, Ranks())
    first = [set(feed.positions(step)[:5]) for step in range(60)]
    share = np.mean([[image in half for image in range(20)] for half in first], axis=0) * 2
    assert (np.abs(share - 0.5) < 0.35).all()


def test_simclr_pairs_are_views_of_one_image() -> None:
    """With views that change nothing and images that differ, partners are told at once."""
    options = {"views": {"flip": False}, "temperature": 0.05}
    task = make("simclr", **options).train()
    images = batch(structured(8))
    easy = task(images, torch.arange(8), torch.Generator()).loss
    hard = task(images[:1].expand(8, -1, -1, -1), torch.arange(8), torch.Generator()).loss
    assert easy < 0.5 * hard
    torch.testing.assert_close(hard, torch.tensor(math.log(15)), atol=1e-3, rtol=0)


# --- the registry -------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make("rotatoin"), "no pretext task 'rotatoin'; did you mean 'rotation'"),
        (lambda: make("xyz"), "there are rotation, geometric"),
        (
            lambda: make("simclr", temprature=1),
            "options of task 'simclr': unknown key 'temprature'.*'temperature'",
        ),
        (lambda: make("rotation", views={"blurr": 1}), r"unknown key 'views\.blurr'; did you mean 'blur'"),
        (lambda: make("svdd", nu=0), "nu"),
    ],
)
def test_mistakes_are_named_with_what_was_meant(call: Callable[[], Task], message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        call()


@pytest.mark.parametrize("name", ALL_TASKS)
def test_every_entry_is_complete(name: str) -> None:
    entry = ALL_TASKS[name]
    assert re.search(r"\b(19|20)\d\d\b", entry.paper)
    assert entry.good_for
    assert issubclass(entry.config(), Strict)
    assert issubclass(entry.task(), Task)
    assert entry.per_image == ("images" in inspect.signature(entry.task()).parameters)
