"""The repository for Triton says of the graph what onnxruntime says, and loses nobody's configuration."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from typer.testing import Result

from onlygood.deploy.triton import _text
from onlygood.runtime.model.modelfile import load_model

Call = Callable[..., Result]

KINDS = {"TYPE_UINT8": "tensor(uint8)", "TYPE_FP32": "tensor(float)"}


def tensors(config: str, kind: str) -> dict[str, tuple[str, list[int]]]:
    """Type and dimensions behind the batch of each input or output, as Triton asks the graph for them."""
    found = {}
    for line in config.splitlines():
        if line.startswith(f"{kind} {{"):
            name, data, dims = re.fullmatch(
                rf'{kind} {{ name: "(\w+)" data_type: (\w+) dims: \[ (.*?) \](?: reshape .*)? }}', line
            ).groups()  # type: ignore[union-attr]
            reshaped = "reshape { shape: [ ] }" in line
            found[name] = (KINDS[data], [] if reshaped else [int(side) for side in dims.split(", ")])
    return found


def test_the_configuration_is_that_of_the_graph(call: Call, tiny: Path, tmp_path: Path) -> None:
    result = call("triton", tiny, "-o", tmp_path / "repository", "--max-batch", "4")
    assert (result.exit_code, result.stdout.strip()) == (0, str(tmp_path / "repository/tiny/1"))
    config = (tmp_path / "repository/tiny/config.pbtxt").read_text()
    session = onnxruntime.InferenceSession(tmp_path / "repository/tiny/1/model.onnx")
    for kind, theirs in (("input", session.get_inputs()), ("output", session.get_outputs())):
        assert tensors(config, kind) == {item.name: (item.type, item.shape[1:]) for item in theirs}
        assert all(isinstance(item.shape[0], str) for item in theirs)  # the batch is free
    assert config.splitlines()[:3] == ['name: "tiny"', 'backend: "onnxruntime"', "max_batch_size: 4"]
    told = dict(re.findall(r'parameters { key: "onlygood\.(\w+)" value { string_value: "(.*)" } }', config))
    assert told == {
        "threshold": "0.85",
        "max_false_alarms": "0.1",
        "sha256": load_model(tiny).sha256,
        "resize": "stretch",
        "bit_depth": "16",
    }


def test_a_new_model_is_the_next_version(
    call: Call, tiny: Path, tmp_path: Path, make_tiny: Callable[..., Path], metadata_with: Callable[..., Any]
) -> None:
    there = tmp_path / "repository" / "tiny"
    for _ in range(2):
        assert call("triton", tiny, "-o", there.parent).exit_code == 0
    assert sorted(path.name for path in there.iterdir()) == ["1", "config.pbtxt"]
    call("triton", tiny, "-o", there.parent, "--max-false-alarms", "0.2")  # the same graph
    assert '"0.75"' in (there / "config.pbtxt").read_text()
    assert not (there / "2").exists()
    calibration = {"scores": [index / 100 for index in range(19)], "max_false_alarms": 0.1}
    make_tiny(metadata=metadata_with(calibration=calibration)).replace(tiny)
    assert call("triton", tiny, "-o", there.parent).stdout.strip() == str(there / "2")
    assert '"0.17"' in (there / "config.pbtxt").read_text()


def test_a_configuration_changed_by_hand_is_not_overwritten(call: Call, tiny: Path, tmp_path: Path) -> None:
    call("triton", tiny, "-o", tmp_path / "repository")
    config = tmp_path / "repository/tiny/config.pbtxt"
    mine = config.read_text() + "instance_group { count: 2 }\n"
    config.write_text(mine)
    result = call("triton", tiny, "-o", tmp_path / "repository")
    assert (result.exit_code, config.read_text()) == (2, mine)
    assert "was changed by hand" in result.stderr


def test_what_is_refused(call: Call, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "tiny.onnx"
    twin.write_bytes(tiny.read_bytes())
    result = call("triton", tiny, twin, "-o", tmp_path / "repository")
    assert (result.exit_code, "two models would be called 'tiny'" in result.stderr) == (2, True)
    assert call("triton", tiny, "-o", tmp_path / "repository", "--max-false-alarms", "0.001").exit_code == 2
    twin.write_bytes(b"none")
    assert call("triton", twin, "-o", tmp_path / "repository").exit_code == 2
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(("value", "typed"), [("a b", '"a b"'), ('é"\\', r'"\303\251\042\134"')])
def test_names_are_text_of_protobuf(value: str, typed: str) -> None:
    assert _text(value) == typed
