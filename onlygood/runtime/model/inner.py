"""Values inside a model's graph: which node makes what, and sessions that give more than score and heatmap.

By the protobuf wire format, without the package onnx, so that it works on the edge.
"""

from dataclasses import dataclass

from onlygood.runtime.model.onnxscan import Structure, fields
from onlygood.runtime.model.rewrite import packed_field

# Numbers of fields in onnx.proto.
_GRAPH, _NODE, _OUTPUT, _NAME = 7, 1, 12, 1
_INPUTS, _OUTPUTS, _OPERATOR = 1, 2, 4


@dataclass(frozen=True)
class Node:
    """One operator of the graph, and the names of what goes in and comes out."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def nodes_of(data: bytes) -> list[Node]:
    """The nodes of a checked model file, in their order of computation."""
    seen = Structure()
    found = []
    for number, graph in fields(data, (0, len(data)), seen):
        if number != _GRAPH or not isinstance(graph, tuple):
            continue
        for kind, span in fields(data, graph, seen):
            if kind == _NODE and isinstance(span, tuple):
                found.append(_node(data, span, seen))
    return found


def _node(data: bytes, span: tuple[int, int], seen: Structure) -> Node:
    texts: dict[int, list[str]] = {_INPUTS: [], _OUTPUTS: [], _OPERATOR: [""]}
    for number, value in fields(data, span, seen):
        if number in texts and isinstance(value, tuple):
            texts[number].append(data[value[0] : value[1]].decode())
    return Node(texts[_OPERATOR][-1], tuple(texts[_INPUTS]), tuple(texts[_OUTPUTS]))


def with_outputs(data: bytes, names: list[str]) -> bytes:
    """The model with these inner values as outputs, behind its own.

    A second graph at the end of a protobuf message is merged into the first: lists are joined. Types and
    shapes are left to onnxruntime, which infers them.
    """
    outputs = b"".join(packed_field(_OUTPUT, packed_field(_NAME, name.encode())) for name in names)
    return data + packed_field(_GRAPH, outputs)
