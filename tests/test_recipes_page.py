"""The tables of docs/recipes.md come from the recipes: ``python tests/test_recipes_page.py`` prints them."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from onlygood.anomaly.recipe import RECIPES, Recipe, load_recipe

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"


def ours() -> list[Recipe]:
    return [load_recipe(name) for name, entry in RECIPES.items() if entry.where.startswith("onlygood.")]


def cost(recipe: Recipe) -> str:
    assert recipe.passes is not None
    return f"{recipe.cost():,} | {recipe.passes.side}" if recipe.cost() else "no training | –"


def tables() -> str:
    """Our recipes, those of papers, and what these do otherwise."""
    plain = [recipe for recipe in ours() if not recipe.paper]
    papers = [recipe for recipe in ours() if recipe.paper]
    return "\n".join([*_table(plain), "", *_table(papers), "", *_differences(papers)])


def _table(recipes: list[Recipe]) -> Iterator[str]:
    paper = any(recipe.paper for recipe in recipes)
    yield f"| recipe |{' paper |' * paper} for | passes | px |"
    yield f"|---|{'---|' * paper}---|---:|---:|"
    for recipe in recipes:
        middle = [recipe.paper] * paper + [recipe.description]
        yield f"| `{recipe.name}` | {' | '.join(middle)} | {cost(recipe)} |"


def _differences(recipes: list[Recipe]) -> Iterator[str]:
    for recipe in recipes:
        yield from textwrap.wrap(
            f"- `{recipe.name}`: {recipe.differs}.",
            width=120,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def test_the_page_has_the_tables_that_the_recipes_make() -> None:
    written = PAGE.read_text(encoding="utf-8").partition("<!-- from the recipes -->\n")[2]
    assert written.partition("\n<!-- end -->")[0] == tables()


if __name__ == "__main__":
    print(tables())  # noqa: T201
