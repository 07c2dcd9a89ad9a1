"""Recipes: what ships is valid, what is mistyped is named with what was meant."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onlygood.anomaly.detector import create_detector
from onlygood.anomaly.fit import build_task, unlearned
from onlygood.anomaly.recipe import RECIPES, Recipe, load_recipe
from onlygood.pretrain.overrides import parse_overrides, set_key
from onlygood.runtime.errors import OnlygoodError

RUNGS = sorted((Path(__file__).parents[2] / "benchmarks/anomaly/rungs").glob("*.yaml"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


# --- what ships ---------------------------------------------------------------


def test_there_are_recipes() -> None:
    assert "surfaces" in RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_can_be_built(name: str) -> None:
    """Task, encoder and regions go together, and the head finds what it reads."""
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    task = build_task(recipe, 3, 100)
    first, step = recipe.grid()
    create_detector(recipe, task, first + step, first)
    create_detector(unlearned(recipe), task, first + step, first)
    assert "logprob" not in recipe.head.names or task.view_classifier is not None
    assert Recipe.parse(recipe.model_dump(mode="json"), "again") == recipe


@pytest.mark.parametrize("path", RUNGS, ids=lambda path: path.stem)
def test_every_rung_of_the_ladder_can_be_built(path: Path) -> None:
    recipe = load_recipe(str(path), {"encoder_weights": None})
    if recipe.encoder.startswith("timm:"):
        pytest.importorskip("timm")
    task = build_task(recipe, 1, 100)
    first, step = recipe.grid()
    create_detector(recipe, task, first + step, first)
    create_detector(unlearned(recipe), task, first + step, first)


@pytest.mark.parametrize("name", RECIPES)
def test_the_images_that_go_through_the_encoder_are_as_many_and_as_large_as_it_says(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.passes is not None
    if not recipe.passes.per_image:
        assert recipe.training.steps == 0
        return
    task = build_task(recipe, 3, 100)
    side, seen = recipe.input.side, list[tuple[int, ...]]()
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    images = torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8)
    task.loss(images, torch.arange(4), torch.Generator().manual_seed(0))
    assert sum(shape[0] for shape in seen) == 4 * recipe.passes.per_image
    assert {shape[2:] for shape in seen} == {(recipe.passes.side,) * 2}


@pytest.mark.parametrize("name", [name for name, entry in RECIPES.items() if ":papers/" in entry.where])
def test_what_follows_a_paper_says_so(name: str) -> None:
    recipe = load_recipe(name)
    assert re.search(r"arXiv:\d{4}\.\d{5}|\(ICML\)", recipe.paper)
    assert recipe.differs


def test_cost_is_steps_times_batch_times_passes() -> None:
    values = {"training": {"steps": 3, "batch_size": 5}, "passes": {"per_image": 4, "side": 32}}
    assert Recipe.parse(values, "test").cost() == 60
    assert Recipe.parse(values | {"training": {"minutes": 1}}, "test").cost() is None
    assert Recipe.parse({}, "test").cost() is None


def test_no_torch_is_needed_to_read_one() -> None:
    code = "import sys; from onlygood.anomaly.recipe import load_recipe; load_recipe('surfaces'); "
    code += "sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


# --- files and overrides ------------------------------------------------------


def test_a_file_changes_what_it_says_and_nothing_else(write: Callable[[str], str]) -> None:
    recipe = load_recipe(write("encoder: lenet\ntraining: {lr: 0.3}\n"))
    assert recipe == Recipe.parse({"name": "mine", "encoder": "lenet", "training": {"lr": 0.3}}, "test")
    assert load_recipe(write("name: called\n")).name == "called"


def test_overrides_replace_single_values(write: Callable[[str], str]) -> None:
    file = write("training: {lr: 0.3, steps: 7}\n")
    items = [
        "training.lr=0.1",
        "head.names=[knn, gaussian]",
        "task.options.views.blur=0.5",
        "input.size=[64, 96]",
    ]
    recipe = load_recipe(file, parse_overrides(items))
    assert (recipe.training.lr, recipe.training.steps) == (0.1, 7)
    assert recipe.head.names == ["knn", "gaussian"]
    assert recipe.task.options == {"views": {"blur": 0.5}}
    assert recipe.input.size == (64, 96)


def test_values_are_yaml_and_may_hold_equals_signs() -> None:
    items = ["a=1", "b=1.5", "c=true", "d=null", "e=x=y", " f =[1, {g: 2}]", "h="]
    expected = {"a": 1, "b": 1.5, "c": True, "d": None, "e": "x=y", "f": [1, {"g": 2}], "h": None}
    assert parse_overrides(items) == expected


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers())
def test_setting_a_key_is_reading_it_back(keys: list[str], value: int) -> None:
    values: dict[str, Any] = {"z": {"y": 1}}
    set_key(values, ".".join(keys), value)
    found: Any = values
    for key in keys:
        found = found[key]
    assert found == value
    assert values["z"] == {"y": 1}


# --- mistakes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trainning": {}}, "unknown key 'trainning'; did you mean 'training'"),
        ({"training.batchsize": 3}, r"unknown key 'training\.batchsize'; did you mean 'batch_size'"),
        ({"calibration.fraction": 1}, r"calibration\.fraction: .*less than 1"),
        ({"regions.kind": "tile"}, r"regions\.kind: .*tiles"),
        ({"head.names": []}, r"head\.names: .*at least 1"),
        ({"training": {"steps": 1, "minutes": 1}}, "give steps or minutes, not both"),
        ({"features.average": 2}, "average 2 must be odd"),
        ({"features": {"projected": True, "stages": [1]}}, r"projected goes with stages \[-1\]"),
        ({"features": {"projected": True, "untrained": True}}, "projected or untrained, not both"),
        (
            {"encoder.name": "small", "encoder": "small", "encoder.x": 1},
            "--set encoder.x: 'encoder' holds a value",
        ),
    ],
)
def test_a_mistake_is_named(write: Callable[[str], str], overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        load_recipe(write("description: x\n"), overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder: [", "not valid YAML"),
        ("", "a recipe is a mapping"),
        ("- a\n- b\n", "a recipe is a mapping"),
        ("encoder: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_broken_file_is_named(write: Callable[[str], str], text: str, message: str) -> None:
    with pytest.raises(OnlygoodError, match=rf"mine\.yaml: {message}"):
        load_recipe(write(text))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match="no recipe 'surface'; did you mean 'surfaces'"):
        load_recipe("surface")
    with pytest.raises(
        OnlygoodError, match=r"no recipe 'xyz'; there are .*surfaces.*\(or give a \.yaml file\)"
    ):
        load_recipe("xyz")
    with pytest.raises(OnlygoodError, match=r"none\.yaml: cannot read the recipe \(No such file"):
        load_recipe(str(tmp_path / "none.yaml"))
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(OnlygoodError, match=r"image\.yaml: not a text file"):
        load_recipe(str(tmp_path / "image.yaml"))


@pytest.mark.parametrize("item", ["lr", "=1", " =1"])
def test_an_override_is_key_and_value(item: str) -> None:
    with pytest.raises(OnlygoodError, match=r"write KEY=VALUE, such as training\.lr"):
        parse_overrides([item])


def test_an_override_that_is_no_yaml_is_named() -> None:
    with pytest.raises(OnlygoodError, match=r"'\[1, 2' is not a YAML value"):
        parse_overrides(["input.size=[1, 2"])


def test_regions_set_the_crop_of_the_views_and_leave_the_rest() -> None:
    def views(options: dict[str, Any]) -> Any:
        values = {"task": {"name": "defects", "options": options}, "regions": {"kind": "cells", "size": 32}}
        return build_task(Recipe.parse(values, "test"), 1, 10).config.views  # type: ignore[attr-defined]

    usual = views({})
    assert (usual.crop, usual.flip_vertical, usual.brightness) == (32, True, 0.15)
    asked = views({"views": {"contrast": 0.3}})
    assert (asked.crop, asked.flip_vertical, asked.contrast) == (32, False, 0.3)
    assert views({"views": {"crop": 48}}).crop == 48
