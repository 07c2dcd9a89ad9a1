"""A user's own weights through `fit` and `pretrain`: said, kept as they are, exact in the exported graph."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tiny import seeded
from torchvision.models import mobilenet_v3_small, resnet18
from typer.testing import Result

from onlygood.runtime.model.modelfile import load_model

RECIPE = """
task: {name: frozen}
training: {steps: 0, threads: 1}
head: {names: [knn]}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gray(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "good", np.random.default_rng(0)
    folder.mkdir()
    for index in range(24):
        waves = 90 * np.sin(np.arange(64) * rng.uniform(0.1, 0.6)) + rng.uniform(-30, 30, (64, 1))
        Image.fromarray((waves + 125).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A MobileNet of torchvision in a wrapper."""
    with seeded():
        torch.save({"model": mobilenet_v3_small(weights=None).state_dict()}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_a_detector_on_weights_that_stay_as_they_are(
    gray: Path, tmp_path: Path, call: Callable[..., Result]
) -> None:
    """Exported with parity: gray images reach the three channels inside the graph."""
    recipe, model, weights = tmp_path / "own.yaml", tmp_path / "m.onnx", tmp_path / "w.pth"
    recipe.write_text(RECIPE)
    with seeded():
        torch.save({"model": resnet18(weights=None).state_dict()}, weights)
    begin = ["--encoder", "resnet18", "--encoder-weights", weights]
    result = call("fit", gray, "-o", model, "--recipe", recipe, "--max-false-alarms", "0.1", *begin)
    assert result.exit_code == 0, result.stderr
    assert "tensors taken from model; left out: the head fc of 1000 outputs" in result.stderr
    assert "images are standardized as 'imagenet', as they were for these weights" in result.stderr
    assert "trained nothing: the encoder is as it began" in result.stderr
    metadata = load_model(model).metadata
    assert metadata.input.channels == 1
    assert metadata.recipe["input"]["standardize"] == "imagenet"
    assert metadata.provenance["training"]["steps"] == 0
    assert metadata.provenance["encoder_weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert metadata.parity.max_relative <= 1e-4


def test_pretrain_with_no_steps_writes_published_weights_as_ours(
    gray: Path, weights: Path, tmp_path: Path, call: Callable[..., Result]
) -> None:
    output = tmp_path / "e.safetensors"
    begin = ["--encoder", "mobilenet-v3", "--encoder-weights", weights, "--steps", "0"]
    result = call("pretrain", "frozen", gray, "-o", output, *begin)
    assert result.exit_code == 0, result.stderr
    assert f"wrote {output} as it began: 0 steps" in result.stdout
    theirs = torch.load(weights, weights_only=True)["model"]
    with safe_open(output, framework="pt") as file:
        about = json.loads(file.metadata()["onlygood"])
        assert torch.equal(file.get_tensor("blocks.0.0.0.weight"), theirs["features.0.0.weight"])
    assert about == {"encoder": "mobilenet-v3", "channels": 3, "standardize": "imagenet"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "1"], "nothing to train: give it --steps 0"),
        (["--encoder", "resnet18", "--steps", "0"], "conv1.weight is missing; it looks like a MobileNet"),
        (["--encoder-weights", "download", "--steps", "0"], "for encoder 'mobilenet-v3' give a file"),
    ],
)
def test_what_is_refused(
    options: list[str], words: str, gray: Path, weights: Path, call: Callable[..., Result]
) -> None:
    begin = ["--encoder", "mobilenet-v3", "--encoder-weights", weights]
    result = call("pretrain", "frozen", gray, "-o", gray.parent / "e.safetensors", *begin, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_random_encoder_is_not_silent(gray: Path, tmp_path: Path, call: Callable[..., Result]) -> None:
    """Neither trained nor given: said where all else is quiet, and kept in the model."""
    recipe, model = tmp_path / "own.yaml", tmp_path / "m.onnx"
    recipe.write_text(RECIPE)
    result = call("fit", gray, "-o", model, "--recipe", recipe, "--max-false-alarms", "0.1", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "warning: the encoder is random" in result.stderr
    (kept,) = load_model(model).metadata.provenance["training"]["warnings"]
    assert "--encoder-weights" in kept
    recipe.write_text(RECIPE + "features: {untrained: true}\n")
    result = call("fit", gray, "-o", model, "--recipe", recipe, "--max-false-alarms", "0.1", "--quiet")
    assert "encoder is random" not in result.stderr  # it was asked for
    assert not load_model(model).metadata.provenance["training"]["warnings"]
