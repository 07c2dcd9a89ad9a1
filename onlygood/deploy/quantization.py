"""Model files in fewer bits: which nodes are the encoder's, ranges of their values, and the smaller graph.

Static quantization in the QDQ format by onnxruntime.quantization: activations unsigned and asymmetric,
weights signed and with a scale for each channel. Only layers of encoders are quantized, and what lies between
two of them; standardization, heads, pooling and the heatmap stay in float. Needs the package onnx.
"""

import contextlib
import fnmatch
import io
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY
from onlygood.runtime.model.session import import_onnxruntime
from onlygood.runtime.nearest import nearest

# Ways to choose the range of an activation, with the method and the options of onnxruntime's calibrator.
RANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "min-max": ("MinMax", {}),
    "percentile 99.99": ("Percentile", {"percentile": 99.99, "symmetric": False}),
    "percentile 99.9": ("Percentile", {"percentile": 99.9, "symmetric": False}),
    "entropy": ("Entropy", {"num_bins": 512, "num_quantized_bins": 128, "symmetric": False}),
}
_LAYERS = ("Conv", "Gemm", "MatMul")  # with weights of an encoder
_BETWEEN = ("Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Relu")
_HALF = "_half"  # behind the names of values in half precision
_AT_ONCE = 4  # images whose activations are held in memory


@dataclass(frozen=True)
class Graph:
    """A graph in float, with shapes, and the nodes that can be quantized."""

    program: onnx.ModelProto
    layers: dict[str, list[str]]  # nodes of each layer of an encoder; several where it sees several scales

    @classmethod
    def of(cls, data: bytes) -> "Graph":
        """Read a model file.

        Raises:
            OnlygoodError: it has no layers that could be quantized.
        """
        program = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data))
        for i, node in enumerate(program.graph.node):
            node.name = node.name or f"node_{i}"
        layers = _layers(program.graph)
        if not layers:
            raise OnlygoodError("the model has no layers of an encoder whose weights could be made smaller")
        return cls(program, layers)

    def chosen(self, keep: Iterable[str] = ()) -> list[str]:
        """Nodes that are made smaller where the layers in ``keep`` are not: layers, and what lies between.

        Raises:
            OnlygoodError: all layers are kept.
        """
        kept = set(keep)
        nodes = [name for layer, found in self.layers.items() if layer not in kept for name in found]
        if not nodes:
            raise OnlygoodError("every layer is kept in float: nothing is left to be made smaller")
        return [*nodes, *_between(self.program.graph, set(nodes))]

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """Layers by their names or globs.

        Raises:
            OnlygoodError: there is no such layer.
        """
        found: dict[str, None] = {}
        for pattern in patterns:
            names = fnmatch.filter(self.layers, pattern)
            if not names:
                raise OnlygoodError(f"no layer {pattern!r}; {nearest(pattern, self.layers)}")
            found |= dict.fromkeys(names)
        return list(found)


def _layers(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Nodes of the encoders' layers by the names of their weights, as short as is unique."""
    weights = {tensor.name for tensor in graph.initializer if "encoder." in tensor.name}
    nodes: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        if node.op_type in _LAYERS and (mine := [name for name in node.input if name in weights]):
            nodes[mine[0].removesuffix(".weight")].append(node.name)
    short = {name: name[name.index("encoder.") :] for name in nodes}
    unique = len(set(short.values())) == len(short)
    return {short[name] if unique else name: found for name, found in nodes.items()}


def _between(graph: onnx.GraphProto, layers: set[str]) -> list[str]:
    """Nodes that come after one of ``layers`` and before another; nodes stand in the order of computation."""
    floats = {
        value.name for value in graph.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    after, before = set[str](), set[str]()  # values
    for node in graph.node:
        if node.name in layers or after.intersection(node.input):
            after.update(node.output)
    for node in reversed(graph.node):
        if node.name in layers or before.intersection(node.output):
            before.update(node.input)
    return [
        node.name
        for node in graph.node
        if node.op_type in _BETWEEN
        and floats.issuperset(node.output)
        and after.intersection(node.input)
        and before.intersection(node.output)
    ]


def measure_ranges(graph: Graph, images: Sequence[NDArray[np.uint8]], way: str) -> Any:
    """Ranges of all activations over ``images``, each ``(H, W, C)``, by one of the ways in ``RANGES``."""
    tools = _tools()
    method, options = RANGES[way]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, augmented = Path(folder) / "plain.onnx", Path(folder) / "augmented.onnx"
        onnx.save(graph.program, plain)
        calibrator = tools.create_calibrator(
            plain,
            [*_LAYERS, *_BETWEEN],
            augmented_model_path=str(augmented),
            calibrate_method=tools.CalibrationMethod[method],
            extra_options=options,
        )
        for start in range(0, len(images), _AT_ONCE):
            calibrator.collect_data(_Reader(images[start : start + _AT_ONCE]))
        return calibrator.compute_data()


class _Reader:
    """Images as onnxruntime's calibrators read them."""

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image[None]}


def to_int8(
    graph: Graph, ranges: Any, keep: Iterable[str] = (), *, reduce_range: bool = False
) -> onnx.ModelProto:
    """The graph with its encoders in 8 bits, but for the layers in ``keep``.

    ``reduce_range`` uses 7 of the 8 bits of weights, for x86 processors without VNNI, where sums of two
    products of 8 bits overflow 16.
    """
    tools, chosen = _tools(), graph.chosen(keep)
    program = onnx.ModelProto()
    program.CopyFrom(graph.program)
    with contextlib.redirect_stdout(io.StringIO()):
        quantizer = tools.QDQQuantizer(
            program,
            True,  # a scale for each channel of the weights
            reduce_range,
            tools.QuantType.QInt8,
            tools.QuantType.QUInt8,
            ranges,
            chosen,
            [],
            [*_LAYERS, *_BETWEEN],
            {},
        )
        quantizer.quantize_model()
    smaller: onnx.ModelProto = quantizer.model.model
    return smaller


def to_fp16(graph: Graph, keep: Iterable[str] = ()) -> onnx.ModelProto:
    """The graph with its encoders in half precision, but for the layers in ``keep``.

    onnxruntime's converter would pass the values between all other nodes through half precision too. Here
    values change their type where an encoder begins and ends, and nowhere else.
    """
    program = onnx.ModelProto()
    program.CopyFrom(graph.program)
    chosen, old = set(graph.chosen(keep)), list(program.graph.node)
    weights = {tensor.name: tensor for tensor in program.graph.initializer}
    used = {name for node in old if node.name not in chosen for name in node.input}
    used |= {value.name for value in program.graph.output}
    nodes, there = list[onnx.NodeProto](), set[str]()  # there: values in half precision
    for node in old:
        nodes.append(node)
        if node.name not in chosen:
            continue
        for name in sorted({name for name in node.input if name} - there):
            there.add(name)
            if name in weights:
                values = onnx.numpy_helper.to_array(weights[name]).astype(np.float16)
                program.graph.initializer.append(onnx.numpy_helper.from_array(values, name + _HALF))
            else:
                nodes.insert(-1, _cast(name, name + _HALF, onnx.TensorProto.FLOAT16))
        there.update(node.output)
        back = [_cast(name + _HALF, name, onnx.TensorProto.FLOAT) for name in node.output if name in used]
        for names in (node.input, node.output):
            names[:] = [name and name + _HALF for name in names]
        nodes += back
    del program.graph.node[:], program.graph.value_info[:]
    program.graph.node.extend(nodes)
    left = [tensor for name, tensor in weights.items() if name not in there or name in used]
    halves = [tensor for tensor in program.graph.initializer if tensor.name not in weights]
    kept = onnx.GraphProto()
    kept.initializer.extend([*left, *halves])
    del program.graph.initializer[:]
    program.graph.initializer.extend(kept.initializer)
    return program


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [source], [target], name=f"{target}_cast", to=kind)


def packed(program: onnx.ModelProto, metadata: Metadata) -> bytes:
    """A sealed model file of the graph, without what the tools left in it."""
    kept = onnx.ModelProto()
    kept.CopyFrom(program)
    kept.producer_name = "onlygood"
    del kept.graph.value_info[:]
    del kept.metadata_props[:]
    used = {node.domain or "" for node in kept.graph.node}
    opsets = [entry for entry in kept.opset_import if entry.domain in used | {""}]
    del kept.opset_import[:]
    kept.opset_import.extend(opsets)
    kept.metadata_props.add(key=METADATA_KEY, value=metadata.model_dump_json())
    return seal(kept.SerializeToString(deterministic=True))


def _tools() -> Any:
    """onnxruntime.quantization, with onnxruntime's telemetry off and its advice to the log muted."""
    import_onnxruntime()
    import logging  # noqa: PLC0415

    from onnxruntime import quantization  # noqa: PLC0415 - only once telemetry is off

    logging.getLogger().setLevel(max(logging.getLogger().level, logging.ERROR))
    return quantization
