"""Numbers that can be typed: each is in range and finite, or refused at once, in words, with exit code 2."""

import json
import math
from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.models import OptionInfo
from typer.testing import CliRunner, Result

from onlygood.anomaly.recipe import RECIPES, Recipe, load_recipe
from onlygood.deploy.cli import app
from onlygood.deploy.options.shared import number
from onlygood.pretrain.overrides import parse_overrides
from onlygood.pretrain.tasks.registry import TASKS
from onlygood.pretrain.training.config import TrainConfig
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.limits import LARGEST_SEED
from onlygood.runtime.strict import Strict

Gray = Callable[[str, int], Path]
reused = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def call(*arguments: Any) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("threshold", ["nan", "NaN", "inf", "-inf", "1e999", "-1e999", "Infinity"])
def test_a_threshold_that_is_no_number_passes_nothing(tiny: Path, gray: Gray, threshold: str) -> None:
    result = call("check", tiny, gray("bad.png", 255), f"--threshold={threshold}")
    assert result.exit_code == 2
    assert "is not a finite number" in result.stderr
    assert result.stdout == ""


@reused
@given(st.floats())
def test_any_threshold_is_refused_or_gives_valid_rows(tiny: Path, gray: Gray, threshold: float) -> None:
    image = gray("x.png", 51)
    result = call("check", tiny, image, f"--threshold={threshold!r}", "-f", "jsonl")
    if not math.isfinite(threshold):
        assert (result.exit_code, result.stdout) == (2, "")
        return
    assert abs(threshold - 0.2) < 1e-7 or result.exit_code == int(threshold < 0.2)
    for line in result.stdout.splitlines():
        assert json.loads(line, parse_constant=pytest.fail)["threshold"] == pytest.approx(threshold)


@pytest.mark.parametrize("rate", ["1e-300", "5e-324", "1e-9", "0", "1", "-0.1", "2", "nan", "inf"])
@pytest.mark.parametrize("command", ["check", "score", "info", "fit"])
def test_an_impossible_rate_is_refused_at_once(tiny: Path, gray: Gray, command: str, rate: str) -> None:
    image = [gray("x.png", 51)] if command in ("check", "score") else []
    result = call(command, tiny, *image, f"--max-false-alarms={rate}")
    assert result.exit_code == 2
    assert "is not a number above 1e-09 and below 1" in result.stderr


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("fit", "--minutes", ["nan", "inf", "0", "-1", "1e300"]),
        ("fit", "--steps", ["-1", str(10**10), "1.5"]),
        ("fit", "--seed", ["-1", str(2**32), "nan"]),
        ("pretrain rotation", "--minutes", ["nan", "inf", "0"]),
        ("pretrain rotation", "--steps", ["-1", str(10**10)]),
        ("pretrain rotation", "--seed", ["-1", str(2**64)]),
        ("probe random:small", "--test-fraction", ["nan", "inf", "0", "1", "-0.5"]),
        ("probe random:small", "--split-seed", ["-1", str(2**32)]),
        ("probe random:small", "--seed", ["-1", str(2**32)]),
        ("score", "--threads", ["0", "-1", str(10**9)]),
        ("score", "--workers", ["0", str(10**9)]),
        ("score", "--max-memory", ["0", "-5", str(10**7)]),
        ("score", "--max-pixels", ["0", "-5", str(2**31)]),
        ("evaluate model.onnx", "--threads", ["0", "1025"]),
        ("evaluate model.onnx", "--seed", ["-1", str(2**32)]),
        ("demo", "--images", ["0", "-1", str(10**9)]),
        ("demo", "--seed", ["-1", str(2**32)]),
    ],
)
def test_numbers_out_of_range_are_usage_errors(
    command: str, option: str, values: list[str], tmp_path: Path
) -> None:
    for value in values:
        result = call(*command.split(), tmp_path, f"{option}={value}")
        assert result.exit_code == 2
        assert "Invalid value for " in result.stderr
        assert f"'{option}':" in result.stderr
        assert list(tmp_path.iterdir()) == []


def parameters() -> Iterator[tuple[str, Parameter]]:
    """What can be typed, by the command's name."""
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.name is not None
        for parameter in signature(command.callback).parameters.values():
            yield command.name, parameter


def test_every_numeric_option_has_limits() -> None:
    found: dict[tuple[str, str], OptionInfo] = {}
    for command, parameter in parameters():
        kind, declared = get_args(parameter.annotation)
        if isinstance(declared, OptionInfo) and {kind, *get_args(kind)} & {int, float}:
            found[command, parameter.name] = declared
    assert len(found) >= 24
    unlimited = {
        name
        for (_, name), option in found.items()
        if option.callback is None and (option.min is None or option.max is None)
    }
    assert unlimited == {"bit_depth"}  # one of five numbers, which `InputSpec` knows


def test_what_several_commands_take_is_declared_once() -> None:
    declared: dict[tuple[object, ...], set[int]] = {}
    for _, parameter in parameters():
        kind, info = get_args(parameter.annotation)
        said = (kind, info.default, *(info.param_decls or ()), info.help)
        declared.setdefault(said, set()).add(id(info))
    assert [said for said, places in declared.items() if len(places) > 1] == []


# --- numbers of --set, recipes and metadata


def fields(model: type[Strict], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all fields."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Strict):
            yield from fields(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


NUMERIC = [key for key in fields(Recipe) if key != "task.options"]  # which the task checks


@pytest.mark.parametrize("key", NUMERIC)
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "[.nan]"])
def test_no_recipe_holds_what_is_no_number(key: str, value: str) -> None:
    with pytest.raises(OnlygoodError):
        load_recipe("surfaces", parse_overrides([f"{key}={value}"]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_config_of_ours_takes_what_is_no_number(value: float) -> None:
    def every(kind: type[Strict]) -> Iterator[type[Strict]]:
        for below in kind.__subclasses__():
            yield below
            yield from every(below)

    for entry in TASKS.values():
        entry.config()
    for model in every(Strict):
        for name, field in model.model_fields.items():
            if field.annotation is float:
                with pytest.raises(ValidationError) as caught:
                    model.model_validate({name: value})
                found = {problem["loc"][0]: problem["type"] for problem in caught.value.errors()}
                assert found[name] == "finite_number"


def test_a_seed_fits_every_generator() -> None:
    assert TrainConfig(seed=LARGEST_SEED).seed == 2**32 - 1
    with pytest.raises(OnlygoodError, match="seed"):
        TrainConfig.parse({"seed": 2**32}, "test")


def test_recipes_that_travel_along_are_within_the_limits() -> None:
    for name in RECIPES:
        assert load_recipe(name).name == name


def test_the_message_says_what_would_be_right() -> None:
    check = number(above=0, most=5)
    assert (check(None), check(5.0), check(1e-300)) == (None, 5.0, 1e-300)
    for value in (0.0, -1.0, 5.1, math.nan, math.inf):
        with pytest.raises(typer.BadParameter, match=r"is not a number above 0 and at most 5$"):
            check(value)


@pytest.mark.parametrize("change", ["size=[4, 4]", "size=[100000, 8]", "size=[-1, 8]", "side=9999", "side=8"])
def test_sizes_that_no_model_file_may_have_are_refused_with_the_recipe(change: str) -> None:
    with pytest.raises(OnlygoodError, match=r"recipe surfaces: input\.si"):
        load_recipe("surfaces", parse_overrides([f"input.{change}"]))
