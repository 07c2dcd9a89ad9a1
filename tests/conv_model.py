"""A model file with a small convolutional encoder, made by hand, and textures to judge with it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY
from onlygood.runtime.model.selftest import generated_images
from onlygood.runtime.model.session import open_session

SIDE = 16
LAYERS = ["encoder.a", "encoder.b", "encoder.c"]


def graph(outlier: float = 1.0) -> onnx.ModelProto:
    """Three convolutions, the mean square of what they find as score.

    With an ``outlier``, layer b finds so many times as much in one channel, which layer c passes over: in a
    range that holds it, the other channels vanish.
    """
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(0, 0.4, shape).astype(np.float32) for shape in ((6, 1), (6, 6), (8, 6)))
    kernels = [w[..., None, None] * rng.normal(1, 1, (3, 3)) for w in (a, b, c)]
    kernels[1][0] = np.abs(kernels[1][0]) * outlier if outlier > 1 else kernels[1][0]
    kernels[2][:, 0] *= outlier == 1
    initializers = [
        numpy_helper.from_array(kernel.astype(np.float32), f"branches.0.{name}.weight")
        for kernel, name in zip(kernels, LAYERS, strict=True)
    ]
    initializers += [
        numpy_helper.from_array(np.array(255, np.float32), "white"),
        numpy_helper.from_array(np.array([1]), "channels"),
        numpy_helper.from_array(np.array([1, 2]), "everywhere"),
        numpy_helper.from_array(rng.normal(0, 1, (1, 8, 1, 1)).astype(np.float32), "head.weight"),
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Div", ["floats", "white"], ["unit"], name="scale"),
        helper.make_node("Transpose", ["unit"], ["x0"], perm=[0, 3, 1, 2], name="planes"),
    ]
    for i, name in enumerate(LAYERS):
        weights = f"branches.0.{name}.weight"
        conv = helper.make_node("Conv", [f"x{i}", weights], [f"y{i}"], pads=[1, 1, 1, 1], name=f"conv{i}")
        nodes.append(conv)
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"], name=f"relu{i}"))
    nodes += [
        helper.make_node("Conv", ["x3", "head.weight"], ["dense"], name="head"),
        helper.make_node("Mul", ["dense", "dense"], ["square"], name="square"),
        helper.make_node("ReduceMean", ["square", "channels"], ["heatmap"], keepdims=0, name="mean"),
        helper.make_node("ReduceMean", ["heatmap", "everywhere"], ["score"], keepdims=0, name="pool"),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 1])]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["N", SIDE, SIDE]),
    ]
    made = helper.make_graph(nodes, "conv", inputs, outputs, initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def model_file(path: Path, program: onnx.ModelProto | None = None, **provenance: Any) -> Path:
    """The sealed file; its threshold is the second largest of 19 scores of textures."""
    program = program or graph()
    spec = InputSpec(height=SIDE, width=SIDE, channels=1)
    session = open_session(program.SerializeToString())

    def score(images: Any) -> list[float]:
        return [float(session.run(["score"], {"images": image[None]})[0][0]) for image in images]

    values = {
        "name": "conv",
        "recipe": {},
        "input": spec.model_dump(),
        "heatmap": (SIDE, SIDE),
        "calibration": {"scores": sorted(score(textures(19, 99))), "max_false_alarms": 0.1},
        "self_test": {"scores": score(generated_images(spec)), "tolerance": 1e-4},
        "parity": {"max_relative": 0.0, "images": 1},
        "provenance": provenance,
    }
    helper.set_model_props(program, {METADATA_KEY: Metadata.parse(values, "test").model_dump_json()})
    path.write_bytes(seal(program.SerializeToString()))
    return path


def textures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Images ``(16, 16, 1)`` of noise, each of another contrast."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(rng.normal(128, rng.uniform(5, 40), (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def save(folder: Path, images: list[np.ndarray]) -> Path:
    """The images as PNG files in a new folder."""
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{i:03d}.png")
    return folder
