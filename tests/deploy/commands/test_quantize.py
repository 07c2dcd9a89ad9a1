"""`quantize` as it is called: what it writes, calibrates and says, and what it refuses."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conv_model import graph, model_file, save, textures
from typer.testing import Result

from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import load_model

Call = Callable[..., Result]


def digests(images: list[np.ndarray]) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest()[:16] for image in images]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "good", textures(60))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that learned from the first 20 of 60 textures and held out the next 30."""
    hashes = digests(textures(60))
    return model_file(tmp_path / "model.onnx", pixel_hashes=hashes[:50], held_out_hashes=hashes[20:50])


def test_the_threshold_is_that_of_the_smaller_model(
    call: Call, model: Path, folder: Path, tmp_path: Path
) -> None:
    """40 images that it did not learn from: at 10 % the fourth largest of their scores."""
    output = tmp_path / "int8.onnx"
    result = call("quantize", model, "--calibration", folder, "-o", output, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    made, source = load_model(output), load_model(model)
    assert facts["sha256"] == made.sha256
    assert (facts["calibrated_on"], facts["layers"]) == (40, 3)
    detector = Detector.load(output)
    scores = sorted(float(detector.infer(image[None])[0][0]) for image in textures(60)[20:])
    assert made.metadata.calibration.scores == pytest.approx(scores)
    assert facts["threshold"]["after"] == pytest.approx(scores[-4])
    assert facts["threshold"]["before"] == pytest.approx(source.metadata.calibration.scores[-2])
    about = made.metadata.quantization
    assert about is not None
    assert (about.precision, about.source_sha256, about.images) == ("int8", source.sha256, 40)
    assert about.agreement == max(one["agreement"] for one in facts["tried"]) > 0.95
    assert {one["ranges"] for one in facts["tried"]} == {
        "min-max",
        "percentile 99.99",
        "percentile 99.9",
        "entropy",
    }
    assert call("verify", output).exit_code == 0
    assert "quantized    int8" in call("info", output).stdout
    again = call("quantize", output, "--calibration", folder, "-o", tmp_path / "twice.onnx")
    assert (again.exit_code, "quantized already" in again.stderr) == (2, True)


def test_text_and_half_precision(call: Call, model: Path, folder: Path, tmp_path: Path) -> None:
    result = call("quantize", model, "--calibration", folder, "-o", tmp_path / "half.onnx", "--fp16")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("3 layers in fp16, 0 kept in float")
    assert "calibrated on 40 good images" in result.stdout
    about = load_model(tmp_path / "half.onnx").metadata.quantization
    assert about is not None
    assert (about.precision, about.ranges) == ("fp16", "")


def test_a_model_that_judges_otherwise_is_refused_with_the_layers_that_hurt(
    call: Call, folder: Path, tmp_path: Path
) -> None:
    """A channel three thousand times as large as the others leaves these no level, behind b and before c."""
    model, output = model_file(tmp_path / "odd.onnx", graph(outlier=3000)), tmp_path / "int8.onnx"
    refused = call("quantize", model, "--calibration", folder, "-o", output, "--least-agreement", "0.99")
    assert refused.exit_code == 2
    assert not output.exists()
    assert "ranks good images with an agreement of" in refused.stderr
    assert "where 0.99 is the least" in refused.stderr
    told, keep = refused.stderr.partition("hurt most: ")[2].split(". With these in float")
    assert sorted(told.split(", ")) == ["encoder.b", "encoder.c"]
    kept = keep.split(": ")[1].split()
    assert kept[::2] == ["--keep-float"] * 2
    mended = call(
        "quantize", model, "--calibration", folder, "-o", output, "--least-agreement", "0.99", *kept, "--json"
    )
    assert mended.exit_code == 0, mended.stderr
    assert sorted(json.loads(mended.stdout)["kept_float"]) == ["encoder.b", "encoder.c"]


def test_a_loss_beyond_the_bound_is_refused(call: Call, model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "int8.onnx"
    refused = call("quantize", model, "--calibration", folder, "-o", output, "--most-loss", "-0.5", "-q")
    assert refused.exit_code == 2
    assert "its AUROC on painted defects is" in refused.stderr
    assert not output.exists()


def test_images_that_were_learned_from_calibrate_nothing(call: Call, tmp_path: Path, folder: Path) -> None:
    model = model_file(tmp_path / "model.onnx", pixel_hashes=digests(textures(60)))
    refused = call("quantize", model, "--calibration", folder, "-o", tmp_path / "int8.onnx")
    assert refused.exit_code == 2
    assert "0 of 60 images are new to the model" in refused.stderr
    assert "of an older onlygood, does not tell which were held out" in refused.stderr


def test_ranges_of_new_images_do_not_calibrate(call: Call, tmp_path: Path, folder: Path) -> None:
    model, output = model_file(tmp_path / "model.onnx"), tmp_path / "int8.onnx"
    result = call("quantize", model, "--calibration", folder, "-o", output)
    assert result.exit_code == 0, result.stderr
    assert "ranges from 20 new images, which then do not calibrate" in result.stderr
    assert len(load_model(output).metadata.calibration.scores) == 40


def test_unknown_layers_and_missing_packages_are_named(
    call: Call, model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["quantize", model, "--calibration", folder, "-o", tmp_path / "int8.onnx"]
    assert "no layer 'encoder.x'" in call(*line, "--keep-float", "encoder.x").stderr
    monkeypatch.setattr("onlygood.deploy.commands.quantize.find_spec", lambda name: None)
    assert "pip install 'onlygood[quantize]'" in call(*line).stderr
