"""What makes a score, of graphs made by hand."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from onlygood.deploy.terms import Term, breakdown
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata

Made = Callable[..., Path]
With = Callable[..., Metadata]


def constant(name: str, value: Any) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def put(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], values: Mapping[str, Any]) -> None:
    """In place of the score's own node."""
    (old,) = (node for node in graph.node if "score" in node.output)
    graph.node.remove(old)
    graph.node.extend(nodes)
    graph.initializer.extend(constant(name, value) for name, value in values.items())


def two_branches(join: str, model: onnx.ModelProto) -> None:
    """The mean of all pixels in units (x - .1) / .1, and the brightest in units x / .05, joined."""
    nodes = [helper.make_node("ReduceMax", ["unit", "axes"], ["brightest"], keepdims=0)]
    for number, value in enumerate(("mean", "brightest")):
        name = f"branches.{number}.footing"
        nodes.append(helper.make_node("Sub", [value, f"{name}.center"], [f"off{number}"]))
        nodes.append(helper.make_node("Div", [f"off{number}", f"{name}.spread"], [f"units{number}"]))
    nodes.append(helper.make_node(join, ["units0", "units1"], ["score"]))
    values = {
        "0.footing.center": 0.1,
        "0.footing.spread": 0.1,
        "1.footing.center": 0,
        "1.footing.spread": 0.05,
    }
    put(model.graph, nodes, {f"branches.{name}": np.float32(value) for name, value in values.items()})


def two_maps(model: onnx.ModelProto) -> None:
    """Of four quarters x the branches x and x² / .5; the score is the mean of their mean's two highest."""
    nodes = [
        helper.make_node("Reshape", ["pooled", "square"], ["x"]),
        helper.make_node("Mul", ["x", "x"], ["x2"]),
        helper.make_node("Div", ["x", "branches.0.footing.spread"], ["first"]),
        helper.make_node("Div", ["x2", "branches.1.footing.spread"], ["second"]),
        helper.make_node("Div", ["x2", "branches.2.footing.spread"], ["shown"]),
        helper.make_node("Mean", ["first", "second"], ["both"]),
        helper.make_node("Reshape", ["both", "row"], ["flat"]),
        helper.make_node("TopK", ["flat", "two"], ["highest", "where"]),
        helper.make_node("ReduceMean", ["highest", "one"], ["score"], keepdims=0),
    ]
    spreads = {f"branches.{branch}.footing.spread": np.float32(s) for branch, s in enumerate((1, 0.5, 0.1))}
    shapes = {"square": np.array([-1, 2, 2]), "row": np.array([-1, 4]), "two": np.array([2])}
    put(model.graph, nodes, spreads | shapes)


def two_heads(model: onnx.ModelProto) -> None:
    """Of four quarters x the heads x and x² / .5; the image's score is the mean of the two highest means."""
    nodes = [
        helper.make_node("Reshape", ["pooled", "four"], ["x"]),
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Div", ["x", "branches.0.head.footings.0.spread"], ["first"]),
        helper.make_node("Div", ["square", "branches.0.head.footings.1.spread"], ["second"]),
        helper.make_node("Mean", ["first", "second"], ["both"]),
        helper.make_node("TopK", ["both", "two"], ["highest", "where"]),
        helper.make_node("ReduceMean", ["highest", "one"], ["score"], keepdims=0),
    ]
    spreads = {f"branches.0.head.footings.{head}.spread": np.float32(s) for head, s in enumerate((1, 0.5))}
    put(model.graph, nodes, {**spreads, "four": np.array([-1, 4]), "two": np.array([2])})


def branch(head: str, **more: Any) -> dict[str, Any]:
    regions = {"kind": "cells", "size": 64, "stride": 16}
    return {
        "head": {"names": [head]},
        "regions": regions,
        "features": {"stages": [-1]},
        "shrink": 1,
    } | more


@pytest.fixture
def gray51() -> np.ndarray[Any, Any]:
    return np.full((8, 8, 1), 51, np.uint8)


def detector(make_tiny: Made, metadata: Metadata, change: Callable[[onnx.ModelProto], None]) -> Detector:
    return Detector.load(make_tiny(metadata=metadata, change=change))


@pytest.mark.parametrize(("join", "score"), [("mean", 2.5), ("max", 4)])
def test_branches(make_tiny: Made, metadata_with: With, gray51: Any, join: str, score: float) -> None:
    whole = branch("gaussian", regions={"kind": "whole"}, features={"stages": [2, 3]}, shrink=2)
    metadata = metadata_with(recipe={"branches": [branch("logprob"), whole], "join": join})
    made = detector(make_tiny, metadata, partial(two_branches, join.title()))
    found = breakdown(made, gray51)
    assert found is not None
    assert found.how == join
    assert [term.label for term in found.terms] == [
        "gaussian on the whole image, shrunk 2 times, stages 2 3",
        "logprob on cells of 64 px",
    ]
    assert [term.value for term in found.terms] == pytest.approx([4, 1])
    assert made.infer(gray51[None])[0][0] == pytest.approx(score)


def test_nothing_is_said_where_the_terms_do_not_make_the_score(
    make_tiny: Made, metadata_with: With, gray51: Any
) -> None:
    metadata = metadata_with(recipe={"join": "mean"})
    assert breakdown(detector(make_tiny, metadata, partial(two_branches, "Max")), gray51) is None


def test_one_head_has_no_terms(tiny: Path, gray51: Any) -> None:
    assert breakdown(Detector.load(tiny), gray51) is None


def test_heads_count_in_the_regions_that_make_the_score(make_tiny: Made, metadata_with: With) -> None:
    """Quarters of 0, .2, .6 and 1: the two highest have x of .8 and x² / .5 of 1.36 in the mean."""
    pixels = np.zeros((8, 8, 1), np.uint8)
    pixels[:4, 4:], pixels[4:, :4], pixels[4:, 4:] = 51, 153, 255
    recipe = {"head": {"names": ["knn", "kde"]}, "pool": {"top": 2}}
    found = breakdown(detector(make_tiny, metadata_with(recipe=recipe), two_heads), pixels)
    assert found is not None
    assert found.terms == [Term("kde", pytest.approx(1.36)), Term("knn", pytest.approx(0.8))]


def test_branches_count_at_the_places_that_make_the_score(make_tiny: Made, metadata_with: With) -> None:
    """As for heads; a third branch, which only shows, says nothing of the score."""
    pixels = np.zeros((8, 8, 1), np.uint8)
    pixels[:4, 4:], pixels[4:, :4], pixels[4:, 4:] = 51, 153, 255
    branches = [branch("knn", use="score"), branch("kde", use="both"), branch("dense", use="heatmap")]
    recipe = {"branches": branches, "join": "mean", "pool_joined": {"top": 2}}
    found = breakdown(detector(make_tiny, metadata_with(recipe=recipe), two_maps), pixels)
    assert found is not None
    assert found.terms == [
        Term("kde on cells of 64 px", pytest.approx(1.36)),
        Term("knn on cells of 64 px", pytest.approx(0.8)),
    ]
