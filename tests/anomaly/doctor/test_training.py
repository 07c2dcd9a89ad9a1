"""Checks that need the network and files: outliers, and whether scoring sees what training saw."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_files import save_noise

from onlygood.anomaly.data.attention import Attention
from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.detector import Detector, create_detector
from onlygood.anomaly.doctor.examine import gather_material
from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.anomaly.doctor.outliers import examine_outliers, judged
from onlygood.anomaly.doctor.sameness import examine_sameness
from onlygood.anomaly.fit import begin, build_task
from onlygood.anomaly.recipe import load_recipe
from onlygood.pretrain.tasks.base import Task

SIDE = 64


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.set_num_threads(1)
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "good").mkdir()
    for seed in range(24):
        save_noise(tmp_path / f"good/{seed:02}.png", seed, (SIDE, SIDE))
    return tmp_path / "good"


def read(folder: Path, attention: Attention | None = None) -> Material:
    recipe = load_recipe("fast", {"input.standardize": "image"})
    return gather_material(recipe, discover(folder, part="train"), attention=attention)


def network(material: Material) -> tuple[Task, Detector]:
    recipe, spec = material.recipe, material.store.spec
    task = build_task(recipe, spec.channels, len(material.store), begin(recipe, spec.channels))
    return task, create_detector(recipe, task, spec.height, spec.width, material.store.inside)


def checks(found: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


def test_nothing_is_found_where_scoring_sees_what_training_saw(good: Path, tmp_path: Path) -> None:
    material = read(good)
    assert checks(examine_sameness(material, *network(material))) == {}
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[: SIDE // 2] = 255
    Image.fromarray(half).save(tmp_path / "roi.png")
    masked = read(good, Attention(roi=tmp_path / "roi.png"))
    assert masked.store.inside is not None
    assert masked.store.inside.mean() == pytest.approx(0.5, abs=0.05)
    assert checks(examine_sameness(masked, *network(masked))) == {}


def test_files_that_changed_meanwhile_are_named(good: Path) -> None:
    material = read(good)
    save_noise(good / "00.png", 99, (SIDE, SIDE))  # the first, which is among those looked at
    found = checks(examine_sameness(material, *network(material)))
    assert found["pixels"].level == "problem"
    assert found["pixels"].files == (str(good / "00.png"),)


def test_another_standardization_in_the_detector_is_found(good: Path) -> None:
    material = read(good)
    task, detector = network(material)
    detector.standardize = "fixed"
    assert checks(examine_sameness(material, task, detector)).keys() == {"preprocessing"}


def test_an_image_of_something_else_is_an_outlier_and_the_others_are_not(good: Path) -> None:
    material = read(good)
    assert not checks(examine_outliers(material, judged(material)))
    stripes = np.where(np.arange(SIDE) // 4 % 2, 220, 30).astype(np.uint8)
    Image.fromarray(np.broadcast_to(stripes, (SIDE, SIDE)).copy()).save(good / "stripes.png")
    material = read(good)
    found = checks(examine_outliers(material, judged(material)))
    assert found["outliers"].files == (str(good / "stripes.png"),)
