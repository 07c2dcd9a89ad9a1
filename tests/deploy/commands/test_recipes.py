"""`recipes` as it is called."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from onlygood.anomaly.recipe import RECIPES, RecipeEntry, load_recipe

Call = Callable[..., Result]


def test_ours_come_first_then_those_of_papers(call: Call) -> None:
    lines = call("recipes").stdout.splitlines()
    names = [line.split()[0] for line in lines[::2]]
    assert sorted(names) == sorted(RECIPES)
    papers = [load_recipe(name).paper != "" for name in names]
    assert papers == sorted(papers)
    assert {"surfaces", "fast", "instant", "maps", "objects", "small-images"} == set(
        names[: papers.index(True)]
    )
    at = names.index("geom")
    assert lines[2 * at].endswith(load_recipe("geom").description)
    # 8,400 batches of 16 images under 8 transforms.
    assert lines[2 * at + 1].strip() == (
        "GEOM, Golan & El-Yaniv 2018, arXiv:1805.10917; 1,075,200 passes of 32 px"
    )


def test_as_json(call: Call) -> None:
    facts = json.loads(call("recipes", "--json").stdout)
    assert facts.keys() == set(RECIPES)
    assert facts["geom"]["passes"] == {"per_image": 8, "side": 32}
    assert facts["geom"]["cost"] == 1_075_200
    assert facts["surfaces"]["paper"] == ""


@pytest.mark.parametrize("name", ["geom", "surfaces", "patch-svdd"])
def test_what_is_printed_of_one_is_that_recipe(call: Call, tmp_path: Path, name: str) -> None:
    printed = call("recipes", name).stdout
    assert yaml.safe_load(printed)["training"]["momentum"] == 0.9  # a default
    (tmp_path / "mine.yaml").write_text(printed, encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe(name)
    as_json = json.loads(call("recipes", name, "--json").stdout)
    assert as_json == yaml.safe_load(printed)


def test_one_that_is_not_there_is_named(call: Call) -> None:
    result = call("recipes", "geon")
    assert result.exit_code == 2
    assert "no recipe 'geon'; did you mean 'geom'" in result.stderr


def test_a_broken_one_is_said_and_the_others_are_listed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = RecipeEntry("onlygood.configs:__init__.py")
    monkeypatch.setattr(RECIPES, "_own", {**RECIPES._own, "broken": entry})
    result = call("recipes")
    assert result.exit_code == 0
    assert "recipe broken" in result.stderr or "broken: " in result.stderr
    assert "surfaces" in result.stdout
