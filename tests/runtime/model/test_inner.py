"""What is inside a graph, against the package onnx."""

from pathlib import Path

import numpy as np
import onnx

from onlygood.runtime.model.inner import Node, nodes_of, with_outputs
from onlygood.runtime.model.session import open_session


def test_nodes_are_those_that_onnx_reads(tiny_bytes: bytes) -> None:
    graph = onnx.load_model_from_string(tiny_bytes).graph
    expected = [Node(node.op_type, tuple(node.input), tuple(node.output)) for node in graph.node]
    assert len(expected) == 7
    assert nodes_of(tiny_bytes) == expected


def test_inner_values_become_outputs_behind_the_others(tiny: Path, tiny_bytes: bytes) -> None:
    changed = with_outputs(tiny_bytes, ["unit", "planes"])
    outputs = onnx.load_model_from_string(changed).graph.output
    assert [value.name for value in outputs] == ["score", "heatmap", "unit", "planes"]
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    unit, planes, score = open_session(changed).run(["unit", "planes", "score"], {"images": image})
    assert np.allclose(unit, image / np.float32(255))
    assert planes.shape == (1, 1, 8, 8)
    assert np.isclose(score[0], 31.5 / 255)
