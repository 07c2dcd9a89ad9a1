import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from onlygood.runtime.errors import ModelError, OnlygoodError
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import check_seal, load_model, seal
from onlygood.runtime.model.onnxscan import METADATA_KEY, scan
from onlygood.runtime.model.selftest import generated_images, replay
from onlygood.runtime.model.verify import verify

reused = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
MakeTiny = Callable[..., Path]


def test_a_good_file_loads(tiny: Path) -> None:
    file = load_model(tiny)
    assert file.metadata.name == "tiny"
    assert (file.opset, file.ir_version) == (18, 10)
    assert file.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()


def test_files_of_schema_1_are_read_as_they_were_calibrated(
    make_tiny: MakeTiny, metadata_with: Callable[..., Metadata]
) -> None:
    values = metadata_with().model_dump(mode="json")
    for later in ("suspects", "frames"):
        del values[later]
    del values["input"]["jpeg"], values["calibration"]["groups"]
    read = load_model(make_tiny(metadata=json.dumps(values | {"schema_version": 1}))).metadata
    assert read.input.jpeg == "reduced"
    assert (read.suspects, read.frames) == ([], None)
    assert metadata_with().input.jpeg == "full"


def test_files_of_schema_2_know_no_parts(make_tiny: MakeTiny, metadata_with: Callable[..., Metadata]) -> None:
    values = metadata_with().model_dump(mode="json")
    del values["calibration"]["groups"]
    read = load_model(make_tiny(metadata=json.dumps(values | {"schema_version": 2}))).metadata
    assert (read.calibration.groups, read.calibration.parts(), read.input.jpeg) == (None, 19, "full")
    assert read.schema_version == 3


@pytest.mark.parametrize("groups", [[0] * 18, [0.0] * 19, [-1] * 19, [10**6] * 19, "0" * 19])
def test_numbers_of_parts_are_whole_and_one_for_each_score(
    make_tiny: MakeTiny, metadata_with: Callable[..., Metadata], groups: object
) -> None:
    values = metadata_with().model_dump(mode="json")
    values["calibration"]["groups"] = groups
    with pytest.raises(ModelError, match="the metadata are not valid: calibration"):
        load_model(make_tiny(metadata=json.dumps(values)))


def test_a_file_with_parts_judges_by_parts(
    make_tiny: MakeTiny, metadata_with: Callable[..., Metadata], gray: Callable[[str, int], Path]
) -> None:
    """9 parts of two images and one of one: above .85 a half and a whole are left, 1.5 + 1 of 11."""
    groups = [index // 2 for index in range(19)]
    held_out = {"scores": [i / 20 for i in range(19)], "groups": groups, "max_false_alarms": 0.2}
    detector = Detector.load(make_tiny(metadata=metadata_with(calibration=held_out)))
    result = detector.score(gray("part.png", 218))  # .855
    assert result.p_value == pytest.approx(2 / 11)
    assert result.anomalous
    assert detector.threshold() == 0.85
    assert detector.threshold(0.1) == 0.9
    assert detector.metadata.calibration.parts() == 10


def test_seal_is_the_hash_of_the_file_with_the_seal_zero(tiny_bytes: bytes) -> None:
    model = onnx.load_from_string(tiny_bytes)
    text = {entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY]
    stored = json.loads(text)["seal"]
    zeroed = tiny_bytes.replace(stored.encode(), b"0" * 64)
    assert stored == hashlib.sha256(zeroed).hexdigest()


def test_sealing_again_changes_nothing(tiny_bytes: bytes) -> None:
    assert seal(tiny_bytes) == tiny_bytes


@reused
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_breaks_the_seal(tiny_bytes: bytes, where: float, flip: int) -> None:
    damaged = bytearray(tiny_bytes)
    damaged[int(where * len(damaged))] ^= flip
    assert not check_seal(bytes(damaged))


@reused
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_file_is_refused_in_words(tiny: Path, where: float, flip: int) -> None:
    whole = tiny.read_bytes()
    damaged = bytearray(whole)
    damaged[int(where * len(damaged))] ^= flip
    tiny.write_bytes(damaged)
    try:
        with pytest.raises(ModelError):
            load_model(tiny)
    finally:
        tiny.write_bytes(whole)


@reused
@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(tiny: Path, where: float) -> None:
    whole = tiny.read_bytes()
    tiny.write_bytes(whole[: int(where * len(whole))])
    try:
        with pytest.raises(ModelError):
            load_model(tiny)
    finally:
        tiny.write_bytes(whole)


@given(st.binary(max_size=300))
def test_the_scan_of_any_bytes_ends_in_an_answer_or_a_reason(data: bytes) -> None:
    with contextlib.suppress(ModelError):  # and no other error, nor an endless walk
        assert scan(data).operators


def test_unsealed_files_are_refused(make_tiny: MakeTiny) -> None:
    with pytest.raises(ModelError, match="never sealed"):
        load_model(make_tiny(sealed=False))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.onnx: the model file cannot be read: No such file"):
        load_model(tmp_path / "no.onnx")


def test_sha256_is_compared_in_either_case(tiny: Path) -> None:
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert load_model(tiny, digest.upper()).sha256 == digest
    with pytest.raises(ModelError, match="this is another file"):
        load_model(tiny, "0" * 64)


# --- what the scan refuses


def _external(model: onnx.ModelProto) -> None:
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../secret")


def _external_constant(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def _operator(name: str, domain: str = "", **attributes: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(name, ["mean"], ["unused"], domain=domain, **attributes))

    return change


def _function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    model.functions.append(
        helper.make_function("mine", "Relu", ["x"], ["y"], [node], [helper.make_opsetid("", 18)])
    )


def _sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def _twice(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key=METADATA_KEY, value="{}")


BODY = helper.make_graph([helper.make_node("Loop", [], [])], "body", [], [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_external, "another file"),
        (_external_constant, "another file"),
        (_operator("Loop"), "'Loop'"),
        (_operator("RandomNormalLike"), "'RandomNormalLike'"),
        (_operator("Gelu", domain="com.microsoft"), "'com.microsoft'"),
        (_operator("Relu", body=BODY), "inner graph"),
        (_operator("Relu", bodies=[BODY]), "inner graph"),
        (_function, "functions"),
        (_sparse, "sparse"),
    ],
)
def test_what_a_detector_never_needs_is_refused(
    make_tiny: MakeTiny, change: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    path = make_tiny(change=change, sealed=False)
    with pytest.raises(ModelError, match=reason):
        load_model(path)


def test_metadata_must_stand_once(make_tiny: MakeTiny, tiny_bytes: bytes) -> None:
    model = onnx.load_from_string(tiny_bytes)
    _twice(model)
    with pytest.raises(ModelError, match="twice"):
        scan(model.SerializeToString())


def test_an_onnx_model_of_another_program_is_told_apart(tmp_path: Path, tiny_bytes: bytes) -> None:
    model = onnx.load_from_string(tiny_bytes)
    del model.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="no onlygood metadata"):
        load_model(path)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [([2.0, 1.0], "ascending"), ([1.0, float("inf")], "finite"), ([], "calibration.scores")],
)
def test_bad_calibration_scores_are_refused(
    make_tiny: MakeTiny, metadata_with: Callable[..., Any], scores: list[float], reason: str
) -> None:
    values = metadata_with().model_dump()
    values["calibration"]["scores"] = scores
    with pytest.raises(ModelError, match=reason):
        load_model(make_tiny(metadata=json.dumps(values), sealed=False))


# --- the self-test


def test_generated_images_are_fixed_for_ever() -> None:
    spec = InputSpec(height=12, width=16, channels=3)
    images = generated_images(spec, 5)
    assert images.shape == (5, 12, 16, 3)
    assert images[0, 5, 8].tolist() == [180, 220, 260 % 256]  # 127 + 53 + 40 a channel
    assert images[1, 4, 3].tolist() == [220, 20, 220]  # 3 * 1 // 4 + 4 * 1 // 4 = 1, odd; then even, odd
    assert images[2, 6, 8].tolist() == [0, 85, 170]  # the centre of the rings
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "c85abd1ffdf4bd62"
    assert len({image.tobytes() for image in images}) == 5


def test_replay_measures_against_the_largest_expected_score() -> None:
    assert replay(np.array([1.0, -4.0]), [1.0, -4.4], 0.1) == pytest.approx(0.4 / 4.4)
    assert replay(np.zeros(2), [0.0, 0.0], 1e-6) == 0
    for scores in ([1.0, -4.0], [1.0, float("nan")], [1.0]):
        with pytest.raises(ModelError):
            replay(np.array(scores), [1.0, -4.4], 0.09)


# --- verify


def names(path: Path, **options: Any) -> dict[str, bool]:
    return {check.name: check.passed for check in verify(path, **options)}


def test_verify_passes_a_good_file(tiny: Path) -> None:
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    steps = ["file", "sha256", "structure", "metadata", "seal", "runtime", "self-test"]
    assert names(tiny, sha256=digest) == dict.fromkeys(steps, True)


def test_verify_stops_at_the_step_that_fails(
    tiny: Path, make_tiny: MakeTiny, metadata_with: Callable[..., Any], tmp_path: Path
) -> None:
    def fails(path: Path, **options: Any) -> str:
        *passed, last = verify(path, **options)
        assert all(check.passed for check in passed)
        assert not last.passed
        return last.name

    assert fails(tmp_path / "missing.onnx") == "file"
    assert fails(tiny, sha256="ab" * 32) == "sha256"
    assert fails(make_tiny(change=_external, sealed=False)) == "structure"
    assert fails(make_tiny(change=_operator("Loop"), sealed=False)) == "structure"
    assert fails(make_tiny(metadata="{}", sealed=False)) == "metadata"
    weights = tiny.read_bytes().replace(b"\x00\x00\x7f\x43", b"\x00\x00\x7e\x43")  # 255 becomes 254
    (tmp_path / "weights.onnx").write_bytes(weights)
    assert fails(tmp_path / "weights.onnx") == "seal"
    looser = tiny.read_bytes().replace(b'"max_false_alarms":0.1', b'"max_false_alarms":0.3')
    (tmp_path / "looser.onnx").write_bytes(looser)
    assert fails(tmp_path / "looser.onnx") == "seal"
    assert fails(make_tiny(metadata=metadata_with(heatmap=(4, 4)))) == "runtime"
    not_in_opset_18 = _operator("Squeeze", axes=[0])
    assert fails(make_tiny(change=not_in_opset_18)) == "runtime"
    wrong = {"scores": [0.5, 0.5, 0.5, 0.5], "tolerance": 1e-5}
    assert fails(make_tiny(metadata=metadata_with(self_test=wrong))) == "self-test"


def test_golden_images_test_the_decoder_too(tiny: Path, gray: Callable[..., Path], tmp_path: Path) -> None:
    gray("golden/in/a.png", 51)
    gray("golden/b,c.png", 102)
    table = tmp_path / "golden" / "scores.csv"
    table.write_text('path,status,score\nin/a.png,normal,0.2\n"b,c.png",normal,0.4\nx.png,error,\n')
    assert names(tiny, golden=table.parent)["golden"]
    table.write_text("path,status,score\nin/a.png,normal,0.21\n")
    assert not names(tiny, golden=table.parent)["golden"]
    table.write_text("path,status,score\ngone.png,normal,0.21\n")
    assert not names(tiny, golden=table.parent)["golden"]
    for nonsense in ("", "a,b\n1,2\n", "path,score\n"):
        table.write_text(nonsense)
        assert not names(tiny, golden=table.parent)["golden"]


def golden_detail(tiny: Path, folder: Path) -> str:
    *_, last = verify(tiny, golden=folder)
    assert last.name == "golden"
    return ("ok: " if last.passed else "failed: ") + last.detail


@pytest.mark.parametrize(
    "name",
    [
        "in/a.png",
        "golden/in/a.png",
        "somewhere/else/golden/in/a.png",
        "/data/golden/in/a.png",
        "../golden/in/a.png",
        "./in/a.png",
        "golden\\in\\a.png",
        "C:\\data\\golden\\in\\a.png",
    ],
)
def test_golden_paths_of_another_place_lead_to_the_same_image(
    tiny: Path, gray: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    gray("golden/in/a.png", 51)
    gray("golden/a.png", 250)  # a shorter end of the same path, another image
    (tmp_path / "golden" / "scores.csv").write_text(f"path,score\n{name},0.2\n")
    assert golden_detail(tiny, tmp_path / "golden").startswith("ok: 1 scores within")


def test_golden_images_that_are_not_there_are_said(
    tiny: Path, gray: Callable[..., Path], tmp_path: Path
) -> None:
    outside = gray("outside.png", 51)
    gray("golden/a.png", 51)
    table = tmp_path / "golden" / "scores.csv"
    for name in ("parts/b.png", str(outside), "../outside.png"):
        table.write_text(f"path,score\n{name},0.2\n")
        detail = golden_detail(tiny, table.parent)
        assert f"scores.csv names {name}, and no file in {table.parent} ends so" in detail
    table.write_text("path,score\na.png,nan\n")
    assert "a score is no finite number" in golden_detail(tiny, table.parent)


def test_scores_written_into_the_folder_are_its_golden_table(
    tiny: Path, gray: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    gray("G/a.png", 51)
    gray("G/sub/a.png", 77)
    monkeypatch.chdir(tmp_path)
    assert call("score", tiny, "G", "-o", "G/scores.csv", "--any-frame").exit_code == 0
    for place, folder in ((tmp_path, "G"), (tmp_path / "G", "."), (tmp_path / "G/sub", "..")):
        monkeypatch.chdir(place)
        result = call("verify", tiny, "--golden", folder)
        assert result.exit_code == 0
        assert "golden     2 scores within" in result.stdout


@pytest.mark.parametrize(
    ("area", "reason"),
    [([8, 8], "other pixels"), ([64, 0], "nothing to look at"), ([64], "at least 2"), ([-1, 65], "greater")],
)
def test_an_area_that_is_none_is_refused(metadata_with: Any, area: list[int], reason: str) -> None:
    with pytest.raises(OnlygoodError, match=reason):
        metadata_with(area=area)


def test_the_area_of_a_file_is_what_counts(metadata_with: Any, make_tiny: Any) -> None:
    inside = load_model(make_tiny(metadata=metadata_with(area=[60, 4]))).metadata.inside()
    assert inside is not None
    assert (inside.sum(), inside[7, 4:].sum()) == (4, 4)
