"""-o of every command: what could not be written in the end, or would overwrite an input, is told before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from onlygood.deploy.commands import fit

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]

TRAINING = {
    "fit": ["fit", "{good}"],
    "pretrain": ["pretrain", "rotation", "{good}"],
    "probe": ["probe", "random:small", "{good}"],
    "compare": ["compare", "{result}"],
    "score": ["score", "{model}", "{good}"],
    "check": ["check", "{model}", "{good}"],
}


@pytest.fixture
def names(tiny: Path, gray: Gray, tmp_path: Path) -> dict[str, Path]:
    for index in range(3):
        gray(f"good/{index}.png", 51 + index)
    (tmp_path / "result.png").write_text("{}")
    return {"good": tmp_path / "good", "model": tiny, "result": tmp_path / "result.png"}


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", TRAINING)
@pytest.mark.parametrize("wrong", ["a folder", "below a file", "an input"])
def test_what_cannot_be_written_is_refused_before_any_work(
    call: Call, names: dict[str, Path], tmp_path: Path, command: str, wrong: str
) -> None:
    suffix = ".png" if command == "compare" else ""
    folder = tmp_path / f"there{suffix}"
    folder.mkdir()
    read = names["result"] if command == "compare" else names["good"] / "1.png"
    output = {"a folder": folder, "below a file": names["model"] / f"x{suffix}", "an input": read}[wrong]
    words = {
        "a folder": "is a folder; name a file in it",
        "below a file": "tiny.onnx",
        "an input": "is read, and -o would overwrite it",
    }[wrong]
    before = snapshot(tmp_path)
    arguments = (argument.format(**names) for argument in TRAINING[command])
    result = call(*arguments, "-o", output)
    assert result.exit_code == 2
    assert words in result.stderr
    assert snapshot(tmp_path) == before


def test_a_report_that_cannot_be_written_is_refused_before_scoring(
    call: Call, names: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlygood.anomaly.evaluation.evaluate.evaluate", pytest.fail)
    for output in (names["result"], names["result"] / "report"):
        result = call("evaluate", names["model"], names["good"], "-o", output)
        assert result.exit_code == 2
        assert "result.png" in result.stderr


def test_a_recipe_or_weights_are_not_overwritten_by_the_model(
    call: Call, names: dict[str, Path], tmp_path: Path
) -> None:
    recipe, weights = tmp_path / "mine.yaml", tmp_path / "encoder.safetensors"
    recipe.write_text(f"encoder_weights: {weights}\n")
    weights.write_bytes(b"weights")
    for output in (recipe, weights):
        result = call("fit", names["good"], "--recipe", recipe, "-o", output)
        assert result.exit_code == 2
        assert "is read, and -o would overwrite it" in result.stderr
    assert weights.read_bytes() == b"weights"


def test_a_work_folder_that_is_a_file_is_refused_before_training(
    call: Call, names: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "mark_output", pytest.fail)
    result = call("fit", names["good"], "-o", tmp_path / "new.onnx", "--work", names["result"])
    assert result.exit_code == 2
    assert "is a file; name a folder" in result.stderr
