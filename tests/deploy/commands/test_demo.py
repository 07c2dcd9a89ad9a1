"""`demo` types `fit`, `score` and `evaluate` into the command line, and stops where one fails."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from onlygood.deploy.commands import demo, evaluate, fit, score
from onlygood.deploy.options.models import EvaluateOptions
from onlygood.deploy.options.rows import RowFormat, ScoreOptions
from onlygood.deploy.options.shared import Options
from onlygood.deploy.options.training import FitOptions
from onlygood.runtime.errors import Interrupted, OnlygoodError

Call = Callable[..., Result]


@pytest.fixture
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """What the three commands get, which do nothing, in an empty folder."""
    found: list[Options] = []

    def run(options: Options) -> int:
        found.append(options)
        return 0

    for command in (fit, score, evaluate):
        monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(demo, "write", lambda root, seed, counts: None)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize("name", ["demo", "-demo", "a folder"])
def test_the_commands_get_what_they_would_if_they_were_typed(
    call: Call, taken: list[Options], name: str
) -> None:
    result = call("demo", "--seed=3", "--", name)
    assert result.exit_code == 0
    folder = Path(name)
    model, data = folder / "model.onnx", folder / "data"
    assert taken == [
        FitOptions(good_dir=data / "train/good", output=model, seed=3, work=folder / "work"),
        ScoreOptions(
            model=model,
            paths=[data / "test"],
            format=RowFormat.CSV,
            output=folder / "scores.csv",
            quiet=True,
        ),
        EvaluateOptions(model=model, dataset=data, output=folder / "report", seed=3, quiet=True),
    ]
    assert "onlygood check my.onnx NEW_FOLDER" in result.stdout
    assert [line[:3] for line in result.stderr.splitlines()] == ["1/4", "2/4", "3/4", "4/4"]


@pytest.mark.parametrize(
    "end",
    [
        (OnlygoodError("no room"), 2, "onlygood: no room"),
        (Interrupted("stopped at step 3"), 130, "onlygood: stopped at step 3"),
        (KeyboardInterrupt(), 130, "2/4"),
    ],
)
def test_a_step_that_fails_ends_the_demo_with_its_code(
    call: Call,
    taken: list[Options],
    monkeypatch: pytest.MonkeyPatch,
    end: tuple[BaseException, int, str],
) -> None:
    error, code, words = end

    def run(options: Options) -> int:
        raise error

    monkeypatch.setattr(fit, "run", run)
    result = call("demo")
    assert result.exit_code == code
    assert taken == []
    assert result.stderr.splitlines()[-1].startswith(words)
    assert result.stdout == ""


def test_too_few_images_are_refused_before_anything_is_made(call: Call, tmp_path: Path) -> None:
    result = call("demo", tmp_path / "demo", "--images", demo.FEWEST_IMAGES - 1)
    assert result.exit_code == 2
    assert "is too few to learn from" in result.stderr
    assert not (tmp_path / "demo").exists()
