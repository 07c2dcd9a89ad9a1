"""The contract of every pretext task, Deep SVDD included."""

import inspect
import json
import math
import os
import re
import signal
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import BATCH, FACTS, SIDE, batch, fit, make, pictures, rows, structured
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.tasks.registry import TASKS, Takes
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import Interrupted, OnlygoodError
from onlygood.runtime.strict import Strict

LEARNED = [name for name, entry in TASKS.items() if entry.task().trains]  # "frozen" has a test of its own


@pytest.mark.parametrize("name", LEARNED)
def test_output_and_gradients(name: str) -> None:
    """A scalar loss, a gradient for every parameter, detached metrics and features, inputs untouched."""
    task = make(name).train()
    images = batch(pictures(name, 8))
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


@pytest.mark.parametrize("name", LEARNED)
def test_every_draw_is_from_the_generator(name: str) -> None:
    images = batch(pictures(name, 8))

    def loss(seed: int) -> Tensor:
        torch.manual_seed(seed + 100)
        before = torch.random.get_rng_state()
        value = make(name).train()(images, torch.arange(8), torch.Generator().manual_seed(seed)).loss
        assert torch.equal(torch.random.get_rng_state(), before)
        return value.detach()

    assert torch.equal(loss(0), loss(0))
    if name != "svdd":  # which draws nothing by default
        assert not torch.equal(loss(0), loss(1))


@pytest.mark.parametrize("name", LEARNED)
def test_embed_is_what_a_detector_sees(name: str) -> None:
    """Plain images through the encoder, in whatever company."""
    task = make(name).eval()
    images = batch(structured(6))
    with torch.no_grad():
        together, alone = task.embed(images), task.embed(images[2:3])
    assert together.shape == (6, task.encoder.dim)
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_what_restores_and_locates_is_said(name: str) -> None:
    """Maps of standardized images, in whatever company, oblong ones too; a task without them says so."""
    task = make(name).eval()
    x = to_float(batch(structured(4, SIDE, 32)), "image")
    for has, method in [(task.restores, task.restore), (task.locates, task.locate)]:
        if not has:
            with pytest.raises(NotImplementedError):
                method(x)
            continue
        with torch.no_grad():
            together, alone = method(x), method(x[2:3])
        torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)
        assert together.shape == x.shape if method == task.restore else together.shape[:2] == (4, 1)


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts.chance])
def test_the_start_is_chance(name: str) -> None:
    """An untrained network knows nothing; a loss below chance would mean that labels leak."""
    chance = FACTS[name].chance
    assert chance is not None
    task = make(name).train()
    images = pictures(name)
    values = []
    for seed in range(6):
        some = batch(images[seed * 4 : seed * 4 + BATCH])
        output = task(some, torch.arange(BATCH), torch.Generator().manual_seed(seed))
        values.append(output.metrics.get("cross_entropy", output.loss).item())
    assert np.mean(values) == pytest.approx(chance, rel=0.12)
    assert task.classes in {None, round(math.exp(chance))}


def test_every_task_is_known_here() -> None:
    assert FACTS.keys() == set(LEARNED)


@pytest.mark.parametrize("name", LEARNED)
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    facts = FACTS[name]
    result = fit(make(name), tmp_path, pictures(name), steps=facts.steps, lr=facts.lr)
    losses = [row["loss"] for row in rows(result)]
    before, after = np.mean(losses[facts.skip : facts.skip + 2]), np.mean(losses[-3:])
    assert after < before - (1 - facts.share) * abs(before) - 0.01


@pytest.mark.parametrize("name", LEARNED)
def test_four_steps_are_two_and_two_bit_for_bit(name: str, tmp_path: Path) -> None:
    images = pictures(name, 20)  # two epochs of two steps
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


@pytest.mark.parametrize("name", LEARNED)
def test_a_folder_smaller_than_a_batch_trains(name: str, tmp_path: Path) -> None:
    """On batches of all images: queues, banks and pairs take any size."""
    result = fit(make(name), tmp_path, pictures(name, 10), steps=2)
    assert all(math.isfinite(row["loss"]) for row in rows(result))


def same(a: Task, b: Task) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    assert mine.keys() == theirs.keys()
    return all(torch.equal(mine[key], theirs[key]) for key in mine)


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


@pytest.mark.parametrize("name", TASKS)
def test_every_entry_is_complete(name: str) -> None:
    entry = TASKS[name]
    assert re.search(r"\b(19|20)\d\d\b", entry.paper)
    assert entry.good_for
    assert issubclass(entry.config(), Strict)
    assert issubclass(entry.task(), Task)
    arguments = inspect.signature(entry.task()).parameters
    assert (entry.takes is Takes.COUNT) == ("images" in arguments)
    assert (entry.takes is Takes.LABELS) == ("labelled" in arguments)
    assert (entry.takes is Takes.LABELS) <= ("label" in entry.needs)
    assert entry.takes.video <= ("video" in entry.needs)


def test_costs_are_those_measured() -> None:
    """Times rotation, each against rotation in the same round; the median."""
    file = Path(__file__).parents[3] / "benchmarks/results/costs/32px.json"
    seconds = json.loads(file.read_text("utf-8"))["cpu_seconds_per_1000_images"]
    measured = {
        name: statistics.median(a / b for a, b in zip(values, seconds["rotation"], strict=True))
        for name, values in seconds.items()
    }
    told = {name: entry.cost for name, entry in TASKS.items() if entry.cost is not None}
    assert measured == pytest.approx(told, abs=0.051)


@pytest.mark.parametrize("name", ["rotation", "swav"])
def test_states_written_before_progress_and_view_classifier_are_read(name: str) -> None:
    task, older = make(name), dict(make(name, seed=1).state_dict())
    older.pop("progress")
    for new in [key for key in older if key.startswith("view_classifier.")]:
        older[new.removeprefix("view_")] = older.pop(new)
    task.load_state_dict(dict(older))
    wanted = make(name, seed=1).state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in task.state_dict().items())


def test_a_task_may_call_a_network_of_its_own_classifier() -> None:
    class Own(Task):
        def __init__(self) -> None:
            super().__init__(create_encoder("small"), Strict(), "fixed")
            self.classifier = torch.nn.Linear(2, 2)

        def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
            raise AssertionError

    one, other = Own(), Own()
    one.load_state_dict(other.state_dict())
    assert torch.equal(one.classifier.weight, other.classifier.weight)
    assert one.view_classifier is None  # so that no head mistakes it for one of test views


@pytest.mark.parametrize("name", FACTS)
def test_every_task_knows_how_far_its_training_is(name: str) -> None:
    task = make(name)
    task.after_step(0.25)
    assert task.progress == 0.25
    assert task.config == type(task.config).parse(task.config.model_dump(), "again")
