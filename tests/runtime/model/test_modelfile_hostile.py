"""Model files from elsewhere: whatever they claim is checked before it is used, and refused in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from onlygood.runtime.errors import ModelError, OnlygoodError
from onlygood.runtime.model import modelfile, onnxscan
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import LARGEST, load_model, read, read_metadata
from onlygood.runtime.model.onnxscan import Structure, scan
from onlygood.runtime.model.session import in_words
from onlygood.runtime.model.verify import verify

MakeTiny = Callable[..., Path]
reused = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def parse(values: Any) -> Metadata:
    """As `load_model` reads the metadata of a file."""
    text = (values if isinstance(values, str) else json.dumps(values)).encode()
    return read_metadata(text, Structure(metadata=(0, len(text))))


@pytest.fixture
def values(metadata_with: Callable[..., Metadata]) -> dict[str, Any]:
    """Metadata that are as they should be."""
    found: dict[str, Any] = json.loads(metadata_with().model_dump_json())
    found["suspects"] = [{"path": "a.png", "part": "train", "score": 1.5}]
    ranges = {key: [0.0, 1.0] for key in ("brightness", "contrast", "clipped", "sharpness")}
    return found | {"frames": ranges}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of nested JSON stands; what recipe and provenance hold is free."""
    if path:
        yield path
    if path in (("recipe",), ("provenance",)):
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(values: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(values))
    *parents, last = path
    inner = copy
    for key in parents:
        inner = inner[key]
    inner[last] = new
    return copy


def kind(value: Any) -> type:
    """JSON's kinds; a whole number is a number too."""
    return float if type(value) in (int, float) else type(value)


def test_what_is_right_is_read(values: dict[str, Any]) -> None:
    assert parse(values).suspects[0].path == "a.png"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@reused
@given(st.data())
def test_a_value_of_another_kind_is_refused_wherever_it_stands(
    values: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(list(places(values))))
    before = values
    for key in path:
        before = before[key]
    new = data.draw(JSON.filter(lambda new: kind(new) is not kind(before)))
    if path == ("frames",) and new is None:
        return
    with pytest.raises(ModelError, match="the metadata are not valid"):
        parse(replaced(values, path, new))


@reused
@given(values=JSON)
def test_any_json_is_metadata_or_an_error_in_words(values: Any) -> None:
    with pytest.raises(ModelError):
        parse(values)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("calibration", "scores", 0), "0.0"),
        (("calibration", "scores", 0), False),
        (("calibration", "scores"), []),
        (("calibration", "scores"), [0.0] * 1_000_001),
        (("calibration", "max_false_alarms"), 1e-300),
        (("calibration", "max_false_alarms"), 0),
        (("calibration", "max_false_alarms"), 1),
        (("self_test", "scores"), [1.0] * 65),
        (("self_test", "tolerance"), 0),
        (("self_test", "tolerance"), 0.11),
        (("self_test", "tolerance"), 1e308),
        (("parity", "max_relative"), -1e-9),
        (("parity", "max_relative"), 1.1),
        (("parity", "images"), 3.5),
        (("parity", "images"), 10**30),
        (("heatmap",), [2, 2, 2]),
        (("heatmap", 0), 0),
        (("heatmap", 0), -2),
        (("heatmap", 0), 2.0),
        (("heatmap", 0), 8193),
        (("heatmap", 0), True),
        (("input", "height"), 10**9),
        (("input", "channels"), 2),
        (("input", "channels"), True),
        (("input", "bit_depth"), "16"),
        (("schema_version",), 0),
        (("schema_version",), True),
        (("schema_version",), "3"),
        (("schema_version",), 3.0),
        (("frames", "clipped"), [1.0, 0.0]),
        (("suspects",), [{"path": "a", "part": "train", "score": 1.0}] * 10_001),
        (("name",), "x" * 1001),
        (("seal",), "0" * 63),
        (("more",), 1),
    ],
)
def test_types_sizes_and_ranges(values: dict[str, Any], path: tuple[Any, ...], new: Any) -> None:
    with pytest.raises(ModelError, match="the metadata are not valid") as caught:
        parse(replaced(values, path, new))
    assert len(str(caught.value)) < 1000
    assert str(path[0]) in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_that_is_none(values: dict[str, Any], number: str) -> None:
    for path in (("calibration", "scores", 18), ("self_test", "tolerance"), ("provenance", "seed")):
        text = json.dumps(replaced(values, path, "HERE")).replace('"HERE"', number)
        with pytest.raises(ModelError, match="the metadata are not JSON"):
            parse(text)


def test_a_newer_schema_is_said_first(values: dict[str, Any]) -> None:
    newer = values | {"schema_version": 4, "later": {}, "input": "other"}
    with pytest.raises(
        ModelError, match=r"^written by a newer onlygood \(schema 4\); this one reads 1 to 3: upgrade"
    ):
        parse(newer)
    with pytest.raises(ModelError, match="schema 1000") as caught:
        parse(values | {"schema_version": 10**4000})
    assert len(str(caught.value)) < 200


def test_many_problems_are_not_all_told(values: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"and 95 more$"):
        parse(replaced(values, ("suspects",), ["x"] * 100))


# --- what the file is


def test_only_regular_files_are_read_and_none_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.onnx")
    with pytest.raises(ModelError, match="Is a directory"):
        load_model(tmp_path)
    for path in (Path("/dev/zero"), tmp_path / "fifo.onnx"):
        with pytest.raises(ModelError, match="not a regular file"):
            load_model(path)
    (tmp_path / "link.onnx").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(tmp_path / "link.onnx")


def sparse(path: Path, head: bytes, size: int, tail: bytes = b"") -> Path:
    """A file of this many bytes that takes hardly any of the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
        file.seek(size - len(tail))
        file.write(tail)
    return path


def varint(value: int) -> bytes:
    return b"" if not value else bytes([value & 0x7F | (0x80 if value > 0x7F else 0)]) + varint(value >> 7)


GRAPH, INITIALIZER, RAW_DATA = b"\x3a", b"\x2a", b"\x4a"  # tags of ModelProto, GraphProto and TensorProto


def test_a_file_that_no_onnx_can_be_is_refused_by_its_size(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="2,147,483,648 bytes are more than"):
        read(sparse(tmp_path / "x.onnx", b"\x08\x0a", LARGEST + 1))


@pytest.mark.parametrize(
    "head", [b"", b"\x08\x0a", b"\x08\x0a" + GRAPH + varint(2**31 - 20), b"\x00" * 9, b"\xff" * 9, b"MZ"]
)
def test_gigabytes_of_nothing_cost_no_memory(tmp_path: Path, head: bytes) -> None:
    """The head tells; the process may take 300 MB beyond what Python has, and the file is of 2 GB."""
    path = sparse(tmp_path / "x.onnx", head, LARGEST)
    code = (
        "import resource, sys\n"
        "from onlygood.runtime.model.modelfile import load_model\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages + 300 * 2**20,) * 2)\n"
        "try: load_model(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)  # noqa: S603
    assert result.stdout.startswith(f"ModelError {path}: not a loadable ONNX model")


def test_a_large_model_is_scanned_by_its_pages_as_by_its_bytes(tmp_path: Path, tiny_bytes: bytes) -> None:
    """Three initializers of 100 MB are passed over: a few pages are read."""
    weights = RAW_DATA + varint(100 * 2**20)
    tensor = INITIALIZER + varint(100 * 2**20 + len(weights)) + weights
    part = GRAPH + varint(100 * 2**20 + len(tensor)) + tensor
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.write(tiny_bytes)
        for _ in range(3):
            file.write(part)
            file.seek(100 * 2**20, os.SEEK_CUR)
        file.truncate()
    looked = 0

    class Counted(modelfile._Pages):
        def __getitem__(self, where: Any, /) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(where)

    with path.open("rb", buffering=0) as file:
        found = scan(Counted(file, path.stat().st_size))
    assert found.operators == scan(tiny_bytes).operators
    assert found.metadata == scan(tiny_bytes).metadata
    assert looked < 10_000
    assert len(read(path)) == path.stat().st_size


@reused
@given(cut=st.integers(0, 10**4), junk=st.binary(max_size=64))
def test_pages_tell_what_bytes_tell(tmp_path: Path, tiny_bytes: bytes, cut: int, junk: bytes) -> None:
    data = tiny_bytes[: cut % len(tiny_bytes)] + junk
    path = tmp_path / "x.onnx"
    path.write_bytes(data)

    def outcome(source: Any) -> Any:
        try:
            return scan(source)
        except ModelError as error:
            return str(error)

    with path.open("rb", buffering=0) as file:
        assert outcome(modelfile._Pages(file, len(data))) == outcome(data)


def test_a_file_that_grows_or_shrinks_while_it_is_read(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = tiny.stat().st_size
    real = os.fstat

    def larger(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[6] = size + 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", larger)
    with pytest.raises(ModelError, match="changed while it was read"):
        read(tiny)


def test_a_walk_through_a_million_parts_is_cut_short(
    monkeypatch: pytest.MonkeyPatch, tiny_bytes: bytes
) -> None:
    monkeypatch.setattr(onnxscan, "_MOST_FIELDS", 1000)
    assert scan(tiny_bytes).fields < 1000
    with pytest.raises(ModelError, match="more than 1,000 parts"):
        scan(b"\x08\x0a" * 1001)


def test_names_and_metadata_have_an_end(monkeypatch: pytest.MonkeyPatch, make_tiny: MakeTiny) -> None:
    def long_name(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("R" * 2000, ["mean"], ["unused"]))

    with pytest.raises(ModelError, match="not a loadable ONNX model"):
        load_model(make_tiny(change=long_name, sealed=False))
    monkeypatch.setattr(onnxscan, "LARGEST_METADATA", 100)
    with pytest.raises(ModelError, match="the metadata are larger than"):
        load_model(make_tiny())


# --- what onnxruntime says


def _ir(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def _opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def _undefined(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nothing\n\x1b[31m" + "x" * 1000


def _short_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"\0"


def _impossible_reshape(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([7, 7, 3]), "shape"))
    model.graph.node.append(helper.make_node("Reshape", ["unit", "shape"], ["other"], name="a\nb"))
    model.graph.node.append(helper.make_node("ReduceMean", ["other"], ["one_mean"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["mean", "one_mean"], ["shifted"]))
    model.graph.node[-4].input[0] = "shifted"  # score is the identity of it
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:-4], *nodes[-3:], nodes[-4]])


def _petabytes(model: onnx.ModelProto) -> None:
    shape = np.array([1 << 20, 1 << 20, 1 << 10, 1])
    model.graph.initializer.append(onnx.numpy_helper.from_array(shape, "shape"))
    model.graph.node.insert(6, helper.make_node("Expand", ["mean", "shape"], ["huge"]))
    model.graph.node.insert(7, helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))
    model.graph.node.insert(8, helper.make_node("Add", ["mean", "most"], ["shifted"]))
    model.graph.node[9].input[0] = "shifted"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_ir, "the file is of ONNX IR version 99 and this onnxruntime knows "),
        (_opset, "the file is of ONNX Opset version 99 and this onnxruntime knows "),
        (_undefined, "is not a graph input, initializer, or output of a previous node"),
        (_short_weights, "raw_data size (1 bytes) does not match expected size"),
        (_impossible_reshape, "The input tensor cannot be reshaped to the requested shape"),
        (_petabytes, "it asks for 4,503,599,627,370,496 bytes at once"),
    ],
)
def test_failures_of_onnxruntime_are_one_line_and_nothing_else(
    make_tiny: MakeTiny, gray: Callable[..., Path], change: Any, reason: str
) -> None:
    path, image = make_tiny(change=change), gray("x.png", 51)
    command = [sys.executable, "-m", "onlygood", "score", path, image]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert result.returncode == 2
    line = result.stderr.rstrip("\n")
    assert line.isprintable()  # so it is one
    assert reason in line
    assert len(line) < 500
    assert "onnxruntime_src" not in line
    assert "[ONNXRuntimeError]" not in line
    *_, last = verify(path)
    assert not last.passed
    assert reason in last.detail


def test_words_of_onnxruntime_keep_their_end() -> None:
    text = "[ONNXRuntimeError] : 1 : FAIL : /a/model.cc:256 void ns::F(map<int, T<char>>&, g(int)) It broke\n"
    assert in_words(ValueError(text)) == "It broke"
    long = in_words(ValueError("begin " + "x" * 5000 + " end"))
    assert long.startswith("begin ")
    assert long.endswith(" end")
    assert len(long) < 310
    assert in_words(MemoryError()) == "MemoryError"


@given(st.text())
def test_words_are_always_one_printable_line(text: str) -> None:
    assert in_words(ValueError(text)).isprintable()


def test_a_signature_that_is_not_the_contract_is_refused(make_tiny: MakeTiny) -> None:
    def other_type(model: onnx.ModelProto) -> None:
        model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch"]))

    with pytest.raises(OnlygoodError, match="where the metadata promise"):
        Detector.load(make_tiny(change=other_type))
