"""No training: the encoder stays bit for bit, nothing is written, and steps are refused."""

from pathlib import Path

import pytest
import torch
from tiny import batch, fit, structured

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.frozen import FrozenTask
from onlygood.pretrain.tasks.registry import create_task
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError


def frozen() -> FrozenTask:
    task = create_task("frozen", create_encoder("small"), {}, "unit", images=64, seed=0)
    assert isinstance(task, FrozenTask)
    return task


def test_no_step_changes_and_writes_nothing(tmp_path: Path) -> None:
    task, images = frozen(), structured(8)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    result = fit(task, tmp_path / "out", images, steps=0)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert not task.training
    assert (result.steps, result.metrics, result.warnings) == (0, {}, [])
    assert result.precision_reason == "nothing was trained"
    assert not (tmp_path / "out").exists()
    with torch.no_grad():
        assert torch.equal(task.embed(batch(images)), task.encoder(to_float(batch(images), "unit")))


def test_any_task_can_stay_untrained(tmp_path: Path) -> None:
    task = create_task("rotation", create_encoder("small"), {}, images=64, seed=0)
    weight = task.view_classifier.weight.clone()  # type: ignore[union-attr]
    assert fit(task, tmp_path, structured(8), steps=0).steps == 0
    assert torch.equal(task.view_classifier.weight, weight)  # type: ignore[union-attr]


def test_steps_are_refused(tmp_path: Path) -> None:
    for length in ({"steps": 3}, {"minutes": 1.0}):
        with pytest.raises(OnlygoodError, match=r"nothing to train: give it --steps 0, or training\.steps=0"):
            fit(frozen(), tmp_path, structured(8), **length)


def test_no_steps_are_done_at_once() -> None:
    config = TrainConfig(steps=0)
    assert config.progress(0, 0.0) == 1
    assert config.fitted_to(2).batch_size == config.batch_size
