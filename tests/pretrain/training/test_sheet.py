"""The sheet of views: whose they are, that drawing them changes nothing, and what is on the picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import SIDE, Store, batch, fit, make, structured
from torch import nn

from onlygood.pretrain.training import sheet
from onlygood.pretrain.training.checkpoint import FILE_NAME as CHECKPOINT
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.sheet import draw, views_of
from onlygood.pretrain.training.trainer import train
from onlygood.pretrain.views.views import from_float, to_float

IDS = torch.arange(5)


@pytest.mark.parametrize("name", ["rotation", "mae", "defect-maps", "nsa"])
def test_every_image_gets_views_of_itself(name: str) -> None:
    """Images of one gray each, from dark to bright, whose views must be so, however they were mixed."""
    levels = np.array([20, 70, 120, 170, 220], np.uint8)
    images = (levels[:, None, None, None] + structured(5) // 16).astype(np.uint8)
    task = make(name)
    task.standardize = "fixed"
    found = views_of(task, batch(images), IDS, 64, 0)
    assert all(len(views) >= 3 for views in found)
    assert {view.shape[0] for views in found for view in views} == {3}
    middle = [float(torch.stack([view.median() for view in views]).median()) for views in found]
    assert middle == sorted(middle)
    assert middle[0] < -1
    assert middle[4] > 1


def test_views_that_are_the_same_are_shown_once() -> None:
    found = views_of(make("svdd"), batch(structured(3)), IDS[:3], 64, 0)
    assert [len(views) for views in found] == [1, 1, 1]


def test_a_task_without_a_convolution_has_no_views() -> None:
    task = make("rotation")
    task.encoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 256))  # type: ignore[assignment]
    assert views_of(task, batch(structured(2)), IDS[:2], 2, 0) == [[], []]


def test_a_training_with_pictures_is_the_training_without(tmp_path: Path) -> None:
    settings = {"steps": 2, "batch_size": 32, "precision": "fp32", "threads": 1}
    for name, pictured in (("with", True), ("without", False)):
        config = TrainConfig.parse(settings, "test")
        train(make("moco"), Store(structured()), config, tmp_path / name, progress=False, pictured=pictured)
    assert (tmp_path / "with" / CHECKPOINT).stat().st_size == (
        tmp_path / "without" / CHECKPOINT
    ).stat().st_size
    states = [(tmp_path / name / CHECKPOINT) for name in ("with", "without")]
    first, second = (_tensors(path) for path in states)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert (tmp_path / "with" / sheet.FILE_NAME).exists()
    assert not (tmp_path / "without" / sheet.FILE_NAME).exists()


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def test_a_sheet_that_cannot_be_drawn_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise ValueError("five images are too few")

    monkeypatch.setattr("onlygood.pretrain.training.trainer.write_views", fail)
    config = TrainConfig.parse({"steps": 1, "batch_size": 32, "precision": "fp32", "threads": 1}, "test")
    result = train(make("rotation"), Store(structured()), config, tmp_path, progress=False, pictured=True)
    assert result.steps == 1
    assert any("no views.png was drawn: five images are too few" in words for words in result.warnings)


def test_without_being_asked_nothing_is_drawn(tmp_path: Path) -> None:
    fit(make("rotation"), tmp_path, structured(), steps=1)
    assert not (tmp_path / sheet.FILE_NAME).exists()


def test_the_sheet_shows_images_and_views_where_they_belong() -> None:
    """Red images whose only view is green, and one that has none."""
    images = np.zeros((3, SIDE, SIDE, 3), np.uint8)
    images[..., 0] = 255
    green = to_float(
        torch.tensor([0, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8), "fixed"
    )
    drawn = draw(images, [[green[0]], [], [green[0]]], "fixed")
    assert drawn.height == sheet._TOP + 2 * sheet._CELL + sheet._GAP + sheet._MARGIN
    for row in range(2):
        y = sheet._TOP + row * (sheet._CELL + sheet._GAP) + sheet._CELL // 2
        assert drawn.getpixel((sheet._MARGIN + 64, y)) == (255, 0, 0)
        left = sheet._MARGIN + sheet._CELL + 3 * sheet._GAP
        assert drawn.getpixel((left + 64, y)) == (0, 255, 0)


@pytest.mark.parametrize("standardize", ["fixed", "unit", "plain", "imagenet"])
def test_pixels_come_back(standardize: str) -> None:
    images = batch(structured(2))
    assert torch.equal(from_float(to_float(images, standardize), standardize), images)  # type: ignore[arg-type]


def test_of_an_image_without_its_own_contrast_gray_is_the_mean() -> None:
    seen = from_float(to_float(batch(structured(2)), "image"), "image").float()
    assert seen.mean(dim=(1, 2, 3)).numpy() == pytest.approx([127.5, 127.5], abs=0.6)


def test_a_sheet_on_disk_is_an_image(tmp_path: Path) -> None:
    config = TrainConfig.parse({"steps": 1, "batch_size": 3, "precision": "fp32", "threads": 1}, "test")
    train(make("rotation"), Store(structured(4)), config, tmp_path, progress=False, pictured=True)
    with Image.open(tmp_path / sheet.FILE_NAME) as drawn:
        assert drawn.height == sheet._TOP + 3 * (sheet._CELL + sheet._GAP) + sheet._MARGIN - sheet._GAP
