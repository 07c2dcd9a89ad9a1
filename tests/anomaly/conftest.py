"""A model file made by hand: its heatmap is the brightness of 4 x 4 cells, its score the brightest's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY

SIDE = 32
CELLS = 4


def brightness_model(**changes: Any) -> bytes:
    """Sealed; calibrated on 0, .05 … .45, so that the threshold at a rate of .1 is .45."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Squeeze", ["pooled", "one"], ["heatmap"]),
        helper.make_node("ReduceMax", ["heatmap", "both"], ["score"], keepdims=0),
    ]
    constants = {"white": np.array(255, np.float32), "one": np.array([1]), "both": np.array([1, 2])}
    floats, size = TensorProto.FLOAT, ["batch", SIDE, SIDE, 1]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, size)],
        [
            helper.make_tensor_value_info("score", floats, ["batch"]),
            helper.make_tensor_value_info("heatmap", floats, ["batch", CELLS, CELLS]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    values = {
        "name": "brightness",
        "recipe": {},
        "input": {"height": SIDE, "width": SIDE, "channels": 1},
        "heatmap": (CELLS, CELLS),
        "calibration": {"scores": [i / 20 for i in range(10)], "max_false_alarms": 0.1},
        "self_test": {"scores": [1.0], "tolerance": 1e-5},
        "parity": {"max_relative": 0.0, "images": 1},
        "provenance": {},
    }
    metadata = Metadata.parse(values | changes, "test")
    helper.set_model_props(model, {METADATA_KEY: metadata.model_dump_json()})
    return seal(model.SerializeToString())


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write the model, with other metadata where given."""

    def make(**changes: Any) -> Path:
        path = tmp_path / "brightness.onnx"
        path.write_bytes(brightness_model(**changes))
        return path

    return make


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """``draw("test/spot/1.png", 50, spots=[((8, 16, 0, 8), 200)])``: even grey with brighter rectangles."""

    def write(name: str, gray: int, *, spots: Any = (), size: tuple[int, int] = (32, 32)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full(size, gray, np.uint8)
        for (top, bottom, left, right), value in spots:
            pixels[top:bottom, left:right] = value
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def spots(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    """MVTec-style: 4 good, 2 of a bright and 2 of a faint spot; cells are 8 x 8 pixels of the images."""
    cell = (8, 16, 16, 24)
    for i, gray in enumerate((10, 20, 30, 40)):
        draw(f"data/test/good/{i}.png", gray)
        draw(f"data/train/good/{i}.png", gray + 1)
    for i in range(2):
        draw(f"data/test/bright/{i}.png", 20 + i, spots=[(cell, 200 + i)])
        draw(f"data/test/faint/{i}.png", 20 + i, spots=[(cell, 35 + i)])
        for defect in ("bright", "faint"):
            draw(f"data/ground_truth/{defect}/{i}_mask.png", 0, spots=[(cell, 255)])
    return tmp_path / "data"
