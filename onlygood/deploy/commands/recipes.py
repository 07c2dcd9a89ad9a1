"""`onlygood recipes`: the recipes that come along, their papers and what they cost; or one of them."""

from typing import Any

import typer
import yaml

from onlygood.anomaly.recipe import RECIPES, Recipe, load_recipe
from onlygood.deploy.options.training import RecipesOptions
from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError

_WIDTH = 110  # of YAML


def run(options: RecipesOptions) -> int:
    """Print two lines a recipe, or JSON; of one recipe all that it says, which is again a recipe."""
    if options.name is not None:
        recipe = load_recipe(options.name)
        values = recipe.model_dump(mode="json")
        text = jsontext.dumps(values, indent=2, ascii=False) if options.json else _yaml(values)
        typer.echo(text)
        return 0
    recipes = _loaded()
    if options.json:
        facts = {
            recipe.name: recipe.model_dump(mode="json", include={"description", "paper", "differs", "passes"})
            | {"cost": recipe.cost()}
            for recipe in recipes
        }
        typer.echo(jsontext.dumps(facts, indent=2, ascii=False))
        return 0
    width = max(len(recipe.name) for recipe in recipes) + 2
    for recipe in recipes:
        typer.echo(f"{recipe.name:{width}}{recipe.description}")
        typer.echo(f"{'':{width}}{'; '.join(filter(None, [recipe.paper, _cost(recipe)]))}")
    return 0


def _loaded() -> list[Recipe]:
    """All recipes by their names in the registry, those of no paper first; what cannot be read is said."""
    recipes = []
    for name in RECIPES:
        try:
            recipes.append(load_recipe(name).model_copy(update={"name": name}))
        except OnlygoodError as error:
            typer.echo(f"onlygood: {error}", err=True)
    return sorted(recipes, key=lambda recipe: recipe.paper != "")


def _cost(recipe: Recipe) -> str:
    """What training costs, in words."""
    cost = recipe.cost()
    if recipe.passes is None or cost is None:
        return "cost not known"
    return f"{cost:,} passes of {recipe.passes.side} px" if cost else "no training"


def _yaml(values: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text.rstrip("\n")
