"""A model file made by hand, whose scores can be computed by heart: the mean of the pixels over 255."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from typer.testing import CliRunner, Result

from onlygood.deploy.cli import app
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY
from onlygood.runtime.model.selftest import generated_images

SIDE = 8
CALIBRATION = [i / 20 for i in range(19)]  # p-values are multiples of 1/20
ALPHA = 0.1  # so the threshold is the second largest: 17/20


def tiny_metadata(**changes: Any) -> Metadata:
    values = {
        "name": "tiny",
        "recipe": {"name": "by-hand", "head": {"kind": "mean"}},
        "input": {"height": SIDE, "width": SIDE, "channels": 1},
        "heatmap": (2, 2),
        "calibration": {"scores": CALIBRATION, "max_false_alarms": ALPHA},
        "self_test": {"scores": [1.0], "tolerance": 1e-5},
        "parity": {"max_relative": 0.0, "images": 3},
        "provenance": {"seed": 0, "versions": {"onnx": onnx.__version__}},
    } | changes
    metadata = Metadata.parse(values, "test")
    if "self_test" in changes:
        return metadata
    scores = generated_images(metadata.input).mean(axis=(1, 2, 3)) / 255
    return metadata.model_copy(
        update={"self_test": metadata.self_test.model_copy(update={"scores": scores.tolist()})}
    )


def tiny_graph(score: str = "mean") -> onnx.ModelProto:
    """``score``: "mean", or "ratio" = mean * mean / mean, which is not a number for a black image."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["unit", "axes"], ["mean"], keepdims=0),
        helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Squeeze", ["pooled", "one"], ["heatmap"]),
    ]
    if score == "mean":
        nodes.append(helper.make_node("Identity", ["mean"], ["score"]))
    else:
        nodes.append(helper.make_node("Mul", ["mean", "mean"], ["square"]))
        nodes.append(helper.make_node("Div", ["square", "mean"], ["score"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 1])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["batch", 2, 2]),
        ],
        [
            onnx.numpy_helper.from_array(np.array(255, np.float32), "white"),
            onnx.numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
            onnx.numpy_helper.from_array(np.array([1]), "one"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def with_metadata(model: onnx.ModelProto, metadata: Metadata | str) -> bytes:
    """The unsealed file."""
    text = metadata if isinstance(metadata, str) else metadata.model_dump_json()
    helper.set_model_props(model, {METADATA_KEY: text})
    return model.SerializeToString()


@pytest.fixture
def tiny_bytes() -> bytes:
    """The sealed model file, threshold 0.85 at false-alarm rate 0.1."""
    return seal(with_metadata(tiny_graph(), tiny_metadata()))


@pytest.fixture
def tiny(tmp_path: Path, tiny_bytes: bytes) -> Path:
    """The sealed model file on disk."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_bytes)
    return path


@pytest.fixture
def make_tiny(tmp_path: Path) -> Callable[..., Path]:
    """Build a variant; ``change`` is a function that edits the ModelProto."""

    def make(
        *,
        score: str = "mean",
        metadata: Metadata | str | None = None,
        sealed: bool = True,
        change: Callable[[onnx.ModelProto], None] = lambda model: None,
    ) -> Path:
        model = tiny_graph(score)
        change(model)
        data = with_metadata(model, metadata or tiny_metadata())
        path = tmp_path / "variant.onnx"
        path.write_bytes(seal(data) if sealed else data)
        return path

    return make


@pytest.fixture
def metadata_with() -> Callable[..., Metadata]:
    """`tiny_metadata`, for tests, which cannot import this file."""
    return tiny_metadata


@pytest.fixture
def gray(tmp_path: Path) -> Callable[..., Path]:
    """``gray("a/b.png", 51)`` writes an even 8 × 8 image, whose score is 51/255."""

    def write(name: str, value: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            Image.fromarray(np.full((SIDE, SIDE), value, np.uint8)).save(file, "PNG")
        return path

    return write


@pytest.fixture
def call() -> Callable[..., Result]:
    """The command line; what it raises beyond its exit code is raised."""

    def invoke(*arguments: Any) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def parts(tmp_path: Path, gray: Callable[..., Path]) -> Path:
    """Two good images, an anomalous one, one unreadable, in two folders."""
    gray("parts/a.png", 51)
    gray("parts/b.png", 230)
    gray("parts/sub/d.png", 102)
    (tmp_path / "parts" / "c.png").write_bytes(b"no image")
    return tmp_path / "parts"
