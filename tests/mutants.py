"""Damaged and hostile model files, made from whole ones: in bytes, in metadata, in the graph.

Most are sealed again. Mutant ``number`` of a seed is the same every time.
"""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import ALLOWED_OPS, METADATA_KEY

EXTREMES = (
    0,
    1,
    -1,
    2,
    3,
    7,
    2**15,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    -(2**63),
)
_SEAL = re.compile(rb'("seal":\s?")[0-9a-f]{64}')
_OTHERS: tuple[Any, ...] = (
    None, True, False, "", "x" * 5000, "\x00\x1b[2J\u202e", -1, 0, 10**30, -1e-300, 1e308, 0.5, [], {}, [[]],
    [0.0] * 300, {"a": {"b": []}}, ["\ud800".encode("utf-8", "replace").decode()],
)  # fmt: skip


def mutant(number: int, seed: int, pool: list[bytes]) -> tuple[int, bytes]:
    """Which whole file it was made from, and its bytes."""
    rng = np.random.default_rng((seed, number))
    which = int(rng.integers(len(pool)))
    change = (_bytes, _metadata, _graph, _graph)[number % 4]
    data = pool[which]
    for _ in range(int(rng.geometric(0.6))):
        with contextlib.suppress(Exception):  # what is no model any more cannot be changed as one
            data = change(data, rng)
    return which, data if rng.random() < 0.05 else sealed_again(data)


def answer(path: Path) -> str:
    """What becomes of a model file: "a verdict", a reason, or what is wrong ("FAILURE …")."""
    try:
        detector = Detector.load(path)
        spec = detector.metadata.input
        image = (np.arange(spec.height * spec.width * spec.channels) % 251).astype(np.uint8)
        result = detector.score(image.reshape(spec.height, spec.width, spec.channels))
        low, high = detector.heat_range()
    except OnlygoodError as error:
        reason = str(error).replace(str(path), "FILE")
        return reason if reason.isprintable() and len(reason) < 1200 else f"FAILURE: words: {reason!r}"
    except BaseException as error:
        return f"FAILURE: {type(error).__name__}: {error}"
    if not (0 < result.p_value <= 1 and low < high and np.isfinite(result.score)):
        return f"FAILURE: {result.score}, {result.p_value}, {low}, {high} are no verdict"
    return "a verdict"


def sealed_again(data: bytes) -> bytes:
    """With a seal that holds, where there is a place for one: anybody can seal."""
    try:
        return seal(_SEAL.sub(rb"\g<1>" + b"0" * 64, data))
    except OnlygoodError:
        return data


def _pick(rng: np.random.Generator, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


# --- bytes


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    if not out:
        return data
    at = int(rng.integers(len(out)))
    match int(rng.integers(6)):
        case 0:
            out[at] = int(rng.integers(256))
        case 1:
            out[at] ^= 1 << int(rng.integers(8))
        case 2:
            del out[at : at + int(rng.geometric(0.05))]
        case 3:
            out[at:at] = out[at : at + int(rng.geometric(0.02))] * int(rng.integers(1, 4))
        case 4:
            start = int(rng.integers(len(data)))
            out[at : at + 40] = data[start : start + int(rng.integers(1, 80))]
        case 5:
            del out[at:]
    return bytes(out)


# --- metadata


def _metadata(data: bytes, rng: np.random.Generator) -> bytes:
    model = onnx.load_model_from_string(data)
    for prop in model.metadata_props:
        if prop.key == METADATA_KEY:
            prop.value = _json(prop.value, rng)
    return bytes(model.SerializeToString())


def _json(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.15:
        at = int(rng.integers(len(text) + 1))
        junk = _pick(rng, ("", "{", "[" * 2000, '"', "NaN", "1e999", "\\ud800", ",", "\x00", "9" * 5000))
        return text[:at] + junk + text[at + int(rng.integers(3)) :]
    values = json.loads(text)
    places = list(_places(values))
    holder, key = _pick(rng, places)
    match int(rng.integers(5)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}x"] = holder[key]
        case 2 if isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = _pick(rng, EXTREMES)
        case 3 if isinstance(holder[key], list):
            holder[key] = holder[key] * int(rng.integers(2, 50))
        case _:
            holder[key] = _pick(rng, (*_OTHERS, _pick(rng, places)[0]))
    return json.dumps(values) if rng.random() < 0.5 else json.dumps(values, ensure_ascii=False)


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


# --- the graph


def _graph(data: bytes, rng: np.random.Generator) -> bytes:
    model = onnx.load_model_from_string(data)
    _pick(rng, _CHANGES)(model.graph, rng)
    return bytes(model.SerializeToString())


def _dims(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    tensor = _pick(rng, graph.initializer)
    if tensor.dims and rng.random() < 0.7:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = _pick(rng, EXTREMES)
    else:
        tensor.dims.append(_pick(rng, EXTREMES))


def _weights(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    """Other numbers, which are other shapes where a node reads shapes; or fewer than the shape says."""
    tensor = _pick(rng, graph.initializer)
    if rng.random() < 0.3:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
        return
    values = onnx.numpy_helper.to_array(tensor).copy()
    extreme = _pick(rng, EXTREMES)
    if values.dtype.kind == "f":
        extreme = _pick(rng, (extreme, np.nan, np.inf, 1e38))
    with np.errstate(over="ignore"):
        values.reshape(-1)[int(rng.integers(values.size))] = np.array(extreme).astype(values.dtype)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _type(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    _pick(rng, graph.initializer).data_type = int(rng.integers(-1, 30))


def _declared(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    value = _pick(rng, [*graph.input, *graph.output])
    shape = value.type.tensor_type.shape
    match int(rng.integers(4)):
        case 0 if shape.dim:
            shape.dim[int(rng.integers(len(shape.dim)))].dim_value = _pick(rng, EXTREMES)
        case 1:
            shape.dim.add().dim_value = _pick(rng, EXTREMES)
        case 2:
            value.type.tensor_type.elem_type = int(rng.integers(-1, 30))
        case _:
            value.name = _pick(rng, ("", "images", "score", "heatmap", "x" * 3000, "a\n\x1b[2J"))


def _operator(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    allowed = (*sorted(ALLOWED_OPS), "If", "Loop", "Scan", "", "NoSuchThing", "é" * 500)
    _pick(rng, graph.node).op_type = _pick(rng, allowed)


def _wires(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    node = _pick(rng, graph.node)
    side = _pick(rng, (node.input, node.output))
    match int(rng.integers(3)):
        case 0 if side:
            side[int(rng.integers(len(side)))] = _pick(rng, (*names, "", "images", "score"))
        case 1 if side:
            del side[int(rng.integers(len(side)))]
        case _:
            side.append(_pick(rng, names))


def _nodes(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(graph.node)))
    if rng.random() < 0.5:
        del graph.node[at]
    else:
        graph.node.insert(int(rng.integers(len(graph.node))), graph.node[at])


def _attribute(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    node = _pick(rng, graph.node)
    name = _pick(
        rng, ("axis", "keepdims", "kernel_shape", "strides", "pads", "perm", "to", "group", "dilations")
    )
    extreme = _pick(rng, EXTREMES)
    value: Any = _pick(rng, (extreme, [extreme], [extreme, 1, 1, 4], [], 0.5, "x"))
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    with contextlib.suppress(ValueError):
        node.attribute.append(helper.make_attribute(name, value))


_CHANGES: tuple[Callable[[onnx.GraphProto, np.random.Generator], None], ...] = (
    _dims, _weights, _weights, _type, _declared, _operator, _wires, _nodes, _attribute, _attribute,
)  # fmt: skip
