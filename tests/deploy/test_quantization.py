"""The smaller graph: which nodes are made smaller, and that what it computes is near."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from conv_model import LAYERS, SIDE, graph, model_file, textures

from onlygood.deploy.quantization import RANGES, Graph, measure_ranges, packed, to_fp16, to_int8
from onlygood.deploy.smaller import detector_of, scorer
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.modelfile import load_model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return model_file(tmp_path / "model.onnx")


def test_layers_are_those_with_weights_of_an_encoder(file: Path) -> None:
    found = Graph.of(file.read_bytes())
    assert found.layers == {name: [f"conv{i}"] for i, name in enumerate(LAYERS)}
    assert found.chosen() == ["conv0", "conv1", "conv2", "relu0", "relu1"]  # the last leads to the head
    assert found.chosen(["encoder.b", "encoder.c"]) == ["conv0"]
    assert found.matching(["*.a", "encoder.c", "*.a"]) == ["encoder.a", "encoder.c"]
    with pytest.raises(OnlygoodError, match=r"no layer 'encoder.d'; did you mean 'encoder"):
        found.matching(["encoder.d"])


def test_a_model_without_an_encoder_is_refused(tiny: Path) -> None:
    with pytest.raises(OnlygoodError, match="no layers of an encoder"):
        Graph.of(tiny.read_bytes())


@pytest.mark.parametrize("way", RANGES)
def test_int8_is_near_and_heads_stay_in_float(file: Path, way: str) -> None:
    metadata = load_model(file).metadata
    found = Graph.of(file.read_bytes())
    program = to_int8(found, measure_ranges(found, textures(12), way), ["encoder.b"])
    kinds = {tensor.name: tensor.data_type for tensor in program.graph.initializer}
    assert kinds["head.weight"] == onnx.TensorProto.FLOAT
    assert kinds["branches.0.encoder.b.weight"] == onnx.TensorProto.FLOAT
    assert kinds["branches.0.encoder.a.weight_quantized"] == onnx.TensorProto.INT8
    scales = {tensor.name: tensor for tensor in program.graph.initializer}
    assert len(onnx.numpy_helper.to_array(scales["branches.0.encoder.a.weight_scale"])) == 6  # channels
    data = packed(program, metadata)
    score, before = scorer(data), scorer(file.read_bytes())
    images = textures(20, 1)
    after, wanted = (np.array([one(image) for image in images]) for one in (score, before))
    assert np.corrcoef(after, wanted)[0, 1] > 0.97
    assert (after != wanted).all()
    detector = detector_of(data)
    assert detector.infer(np.stack(images))[1].shape == (20, SIDE, SIDE)


def test_seven_bits_are_fewer_levels(file: Path) -> None:
    found = Graph.of(file.read_bytes())
    ranges = measure_ranges(found, textures(12), "min-max")
    for reduce_range, largest in ((False, 127), (True, 64)):
        program = to_int8(found, ranges, reduce_range=reduce_range)
        named = {tensor.name: tensor for tensor in program.graph.initializer}
        weights = onnx.numpy_helper.to_array(named["branches.0.encoder.a.weight_quantized"])
        assert abs(np.abs(weights.astype(int)).max() - largest) <= 1


def test_half_precision_is_nearer_and_halves_the_encoder(file: Path) -> None:
    program = to_fp16(Graph.of(file.read_bytes()), ["encoder.a"])
    kinds = {tensor.name: tensor.data_type for tensor in program.graph.initializer}
    assert kinds["branches.0.encoder.b.weight_half"] == onnx.TensorProto.FLOAT16
    assert "branches.0.encoder.b.weight" not in kinds
    assert [node.op_type for node in program.graph.node].count("Cast") == 1 + 2  # in behind a, and out
    assert kinds["branches.0.encoder.a.weight"] == onnx.TensorProto.FLOAT
    assert kinds["head.weight"] == onnx.TensorProto.FLOAT
    score, before = (scorer(data) for data in (packed(program, load_model(file).metadata), file.read_bytes()))
    for image in textures(5, 1):
        assert score(image) == pytest.approx(before(image), rel=5e-3)
        assert score(image) != before(image)


def test_to_keep_everything_leaves_nothing_to_do(file: Path) -> None:
    found = Graph.of(file.read_bytes())
    with pytest.raises(OnlygoodError, match="every layer is kept"):
        to_int8(found, measure_ranges(found, textures(2), "min-max"), LAYERS)


def test_what_is_packed_names_nothing_of_the_tools(file: Path) -> None:
    found = Graph.of(file.read_bytes())
    data = packed(to_int8(found, measure_ranges(found, textures(4), "min-max")), load_model(file).metadata)
    made = onnx.load_model_from_string(data)
    assert (made.producer_name, len(made.graph.value_info)) == ("onlygood", 0)
    assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", 18)]
    assert graph().ir_version == made.ir_version
