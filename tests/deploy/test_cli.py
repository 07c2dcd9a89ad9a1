"""What a start costs and leaves behind: modules imported, files written, nothing else."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.testing import CliRunner

from onlygood import __version__
from onlygood.deploy.cli import COMMANDS, app

HEAVY = {
    "numpy",
    "PIL",
    "onnxruntime",
    "torch",
    "torchvision",
    "sklearn",
    "scipy",
    "matplotlib",
    "cv2",
    "onnx",
}
Gray = Callable[[str, int], Path]


def python(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603


def modules_after(*arguments: object) -> tuple[int, set[str]]:
    """Exit code of the command line, and the top-level modules that it imported."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('\\n@', *{name.split('.')[0] for name in sys.modules}))\n"
        "from onlygood.deploy.entry import main\n"
        "main()\n"
    )
    result = python(code, *arguments)
    sys.stderr.write(result.stderr)  # shown where the test fails
    return result.returncode, set(result.stdout.rpartition("@")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["score", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code, modules = modules_after(*arguments)
    assert code == 0
    assert "typer" in modules
    assert not modules & (HEAVY | {"rich"})


@pytest.mark.parametrize("command", ["score", "check", "info", "verify"])
def test_the_edge_never_imports_what_training_needs(tiny: Path, gray: Gray, command: str) -> None:
    image = [gray("x.png", 51)] if command in ("score", "check") else []
    code, modules = modules_after(command, tiny, *image)
    assert code == 0
    assert "onnxruntime" in modules
    assert not modules & (HEAVY | {"rich"}) - {"numpy", "PIL", "onnxruntime"}


def test_calibrating_needs_nothing_of_training(tiny: Path, gray: Gray) -> None:
    folder = [gray(f"good/{value}.png", value) for value in range(101, 120)].pop().parent
    code, modules = modules_after("calibrate", tiny, folder)
    assert code == 0
    assert "onnxruntime" in modules
    assert not modules & (HEAVY | {"yaml"}) - {"numpy", "PIL", "onnxruntime"}


def test_measuring_needs_nothing_of_training(tiny: Path, gray: Gray) -> None:
    only = ("-j", 1, "--threads", 1, "--seconds", 0.003)
    code, modules = modules_after("bench", tiny, gray("x.png", 51), *only)
    assert code == 0
    assert not modules & (HEAVY | {"yaml", "rich"}) - {"numpy", "PIL", "onnxruntime"}


def test_listing_the_tasks_imports_none_of_them() -> None:
    code, modules = modules_after("tasks")
    assert code == 0
    assert not modules & (HEAVY | {"rich"})


def test_listing_the_recipes_imports_no_torch() -> None:
    code, modules = modules_after("recipes")
    assert code == 0
    assert not modules & {"torch", "torchvision", "sklearn"}


def test_nothing_is_written_at_home(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    """onnxruntime's wheels ship telemetry on, and write a device id unless it is off before the import."""
    home = tmp_path / "home"
    places = {"HOME": home}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR"):
        places[name] = home / name.lower()
    for place in places.values():
        place.mkdir()
    before = sorted(home.rglob("*"))
    environment = {name: str(place) for name, place in places.items()} | {"ORT_DISABLE_TELEMETRY": "0"}
    for arguments in (["score", tiny, gray("x.png", 51)], ["info", tiny], ["verify", tiny]):
        code = "from onlygood.deploy.entry import main; main()"
        assert python(code, *arguments, **environment).returncode == 0
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Usage: onlygood {command}" in result.stdout


def taken(command: str) -> set[str]:
    """Arguments and options with their words, as the help prints them."""
    printed = CliRunner().invoke(app, [command, "--help"]).stdout.partition("Arguments:")[2]
    return {" ".join(entry.split()) for entry in re.split(r"\n  (?=\S)", printed)}


def test_check_takes_what_score_takes_and_exit_zero() -> None:
    score, check = taken("score"), taken("check")
    assert len(score) > 24
    assert score - check == set()
    assert check - score == {"--exit-zero Exit with 0 though anomalies were found."}


def test_each_command_takes_the_options_that_the_table_says() -> None:
    """mypy checks `run` against its own annotation and the dataclass against its fields: this joins them."""
    for options, module in COMMANDS.values():
        hints = get_type_hints(importlib.import_module(f"onlygood.deploy.commands.{module}").run)
        assert issubclass(options, hints["options"])
        assert hints["return"] is int


def test_a_line_in_the_table_imports_the_command_that_is_typed_alone(tiny: Path) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('@', *{name for name in sys.modules if '.commands.' in name}))\n"
        "from onlygood.deploy.entry import main\n"
        "main()\n"
    )
    result = python(code, "info", tiny)
    assert result.stdout.rpartition("@")[2].split() == ["onlygood.deploy.commands.info"]


def test_the_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert all(command in result.output for command in COMMANDS)


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"onlygood {__version__}\n"


def test_a_missing_training_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(importlib, "import_module", import_module)
    result = CliRunner().invoke(app, ["fit", "folder"])
    assert result.exit_code == 2
    assert "needs the package 'torch': pip install 'onlygood[train]'" in result.stderr
