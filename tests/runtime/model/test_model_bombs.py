"""Model files that ask for more memory, time or depth than there is: all are refused in words."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onlygood.runtime.errors import ModelError
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Appearances, Metadata
from onlygood.runtime.model.modelfile import MOST_VALUES, load_model, read_metadata, seal
from onlygood.runtime.model.onnxscan import Structure

MakeTiny = Callable[..., Path]
HUGE = 40 * 2**30  # bytes, of float32
SMALL = 64 * 2**20  # bytes that models may take in these tests


def _shape(model: onnx.ModelProto, *sizes: int) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(sizes), "shape"))


def _added_to_the_score(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """The last of ``nodes`` gives "huge", whose maximum is added to the score."""
    score = model.graph.node.pop()
    model.graph.node.extend(nodes)
    model.graph.node.append(helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["mean", "most"], ["shifted"]))
    score.input[0] = "shifted"
    model.graph.node.append(score)


def _constant(model: onnx.ModelProto) -> None:
    """Folding of constants would make it while the model is loaded, outside any limit."""
    _shape(model, HUGE // 4)
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5])
    _added_to_the_score(model, helper.make_node("ConstantOfShape", ["shape"], ["huge"], value=value))


def _expanded(model: onnx.ModelProto) -> None:
    _shape(model, HUGE // 4, 1)
    _added_to_the_score(model, helper.make_node("Expand", ["mean", "shape"], ["huge"]))


def _range(model: onnx.ModelProto) -> None:
    for name, value in (("start", 0.0), ("end", HUGE / 4), ("step", 1.0)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float64), name))
    _added_to_the_score(
        model,
        helper.make_node("Range", ["start", "end", "step"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["huge"], to=TensorProto.FLOAT),
    )


def _resized(model: onnx.ModelProto) -> None:
    scales = np.array([1, 1, 32768, 32768], np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(scales, "scales"))
    _added_to_the_score(model, helper.make_node("Resize", ["planes", "", "scales"], ["huge"]))


def _padded(model: onnx.ModelProto) -> None:
    _shape(model, 0, HUGE // 4)
    _added_to_the_score(model, helper.make_node("Pad", ["mean", "shape"], ["huge"]))


@pytest.mark.parametrize("change", [_constant, _expanded, _range, _resized, _padded])
def test_forty_gigabytes_are_refused_before_they_are_taken(
    make_tiny: MakeTiny, change: Callable[[onnx.ModelProto], None]
) -> None:
    """In a process of its own, whose peak stays far below what the model may take."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from onlygood.runtime.model import session\n"
        f"session.available_memory = lambda: {SMALL * 4 // 3}\n"
        "from onlygood.runtime.model.detector import Detector\n"
        "try:\n"
        "    detector = Detector.load(sys.argv[1])\n"
        "    detector.infer(np.zeros((1, 8, 8, 1), np.uint8))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
    )
    command = [sys.executable, "-c", code, make_tiny(change=change)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert result.returncode == 0
    said, peak = result.stdout.splitlines()
    assert said.startswith("ModelError ")
    assert "bytes at once, more than are left of 75% of the machine's memory" in said
    assert int(peak) < 300_000  # kB


@pytest.mark.parametrize("field", ["float_data", "raw_data"])
def test_weights_that_are_not_there_are_not_made(make_tiny: MakeTiny, field: str) -> None:
    """A shape of 40 GB with four bytes of data."""

    def change(model: onnx.ModelProto) -> None:
        huge = TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[HUGE // 4])
        if field == "raw_data":
            huge.raw_data = bytes(4)
        else:
            huge.float_data.append(0.5)
        model.graph.initializer.append(huge)
        _added_to_the_score(model)

    with pytest.raises(ModelError, match=r"exceeds the 2147483648 byte limit|does not match expected"):
        Detector.load(make_tiny(change=change))


@pytest.mark.parametrize(
    ("name", "sizes"), [("score", [3]), ("score", [0]), ("heatmap", [1, 3, 2]), ("heatmap", [7, 2, 2])]
)
def test_results_of_another_shape_than_declared_are_refused(
    make_tiny: MakeTiny, name: str, sizes: list[int]
) -> None:
    """onnxruntime only warns of them; a score for each of three images would be taken for that of one."""

    def change(model: onnx.ModelProto) -> None:
        _shape(model, *sizes)
        flat = helper.make_node("ReduceMean", ["unit"], ["single"], keepdims=0)
        for node in model.graph.node:
            if node.output[0] == name:
                node.output[0] = f"old_{name}"
        # The declared shape must not be inferred to be wrong: it hangs on what comes in.
        zero = onnx.numpy_helper.from_array(np.array(0, np.int64), "zero")
        model.graph.initializer.append(zero)
        model.graph.node.extend(
            [
                flat,
                helper.make_node("ReduceMin", ["images"], ["least"], keepdims=0),
                helper.make_node("Cast", ["least"], ["least_int"], to=TensorProto.INT64),
                helper.make_node("Mul", ["least_int", "zero"], ["nothing"]),
                helper.make_node("Add", ["shape", "nothing"], ["sizes"]),
                helper.make_node("Expand", ["single", "sizes"], [name]),
            ]
        )

    detector = Detector.load(make_tiny(change=change))
    with pytest.raises(ModelError, match="which is not what it declares"):
        detector.infer(np.zeros((1, 8, 8, 1), np.uint8))


def _nested(depth: int) -> bytes:
    """A TypeProto of sequences in sequences."""
    inner = b""
    for _ in range(depth):
        element = b"\x0a" + _varint(len(inner)) + inner  # Sequence.elem_type
        inner = b"\x22" + _varint(len(element)) + element  # TypeProto.sequence_type
    return inner


def _varint(value: int) -> bytes:
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def test_protobuf_that_nests_ten_thousand_times(make_tiny: MakeTiny, tmp_path: Path) -> None:
    """A second graph, which protobuf joins to the first, with a value of that type."""
    kind = _nested(10_000)
    value = b"\x0a\x01v" + b"\x12" + _varint(len(kind)) + kind
    info = b"\x6a" + _varint(len(value)) + value  # GraphProto.value_info
    path = tmp_path / "deep.onnx"
    whole = make_tiny(sealed=False).read_bytes() + b"\x3a" + _varint(len(info)) + info
    path.write_bytes(seal(whole))
    with pytest.raises(ModelError, match="onnxruntime cannot load the model"):
        Detector.load(path)


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan", "SequenceMap", "RandomUniform", "StringConcat"])
def test_no_control_flow_and_nothing_unknown(make_tiny: MakeTiny, operator: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, ["mean"], ["unused"]))

    with pytest.raises(ModelError, match=f"the operator '{operator}', which is not allowed"):
        load_model(make_tiny(change=change))


# --- metadata


def parse(text: str) -> Metadata:
    return read_metadata(text.encode(), Structure(metadata=(0, len(text))))


@pytest.fixture
def values(metadata_with: Callable[..., Metadata]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(metadata_with().model_dump_json())
    return found


@pytest.mark.parametrize(
    "place", ["calibration.scores", "calibration.groups", "appearance.brightness", "area", "history"]
)
def test_a_million_wrong_values_are_one_error(values: dict[str, Any], place: str) -> None:
    """An error takes a kilobyte."""
    *above, key = place.split(".")
    values["appearance"] = {name: [0.0] for name in Appearances.model_fields}
    (values[above[0]] if above else values)[key] = "HERE"
    text = json.dumps(values).replace('"HERE"', "[" + '"",' * 200_000 + '""]')
    with pytest.raises(ModelError, match=rf"^the metadata are not valid: {re.escape(place)}\.0: [^;]*$"):
        parse(text)


def test_metadata_of_millions_of_values_are_not_parsed(values: dict[str, Any]) -> None:
    values["provenance"] = {"x": "HERE"}
    text = json.dumps(values).replace('"HERE"', "[" + "0," * MOST_VALUES + "0]")
    with pytest.raises(ModelError, match="more than 4,000,000 values"):
        parse(text)


def test_a_key_that_stands_twice_among_many_is_found_at_once(values: dict[str, Any]) -> None:
    """In a time that grows with their number, not with its square: 60,000 took minutes."""
    values["provenance"] = "HERE"
    keys = ",".join(f'"{number}":0' for number in range(60_000))
    with pytest.raises(ModelError, match="the key '59999' stands twice"):
        parse(json.dumps(values).replace('"HERE"', f'{{{keys},"59999":1}}'))
