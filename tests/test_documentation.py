"""What `make docs` makes of the repository's pages: links, a page a recipe, and nothing from elsewhere."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from onlygood.anomaly.recipe import Recipe, load_recipe

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("documentation", ROOT / "web/documentation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "link", "there"),
    [
        ("README.md", "[a](docs/fit.md#x-y)", "[a](fit.md#x-y)"),
        ("README.md", "![a](docs/images/page-light.png)", "![a](images/page-light.png)"),
        ("README.md", "[`a`](ARCHITECTURE.md)", "[`a`](architecture.md)"),
        ("docs/page.md", "[a](../SECURITY.md#b)", "[a](security.md#b)"),
        ("docs/page.md", "[a](report.md), [b](#c)", "[a](report.md), [b](#c)"),
        ("docs/page.md", "[results](../benchmarks/results/page_scores)", "results"),  # no page of the site
        ("benchmarks/README.md", "[a](../docs/fit.md)", "[a](fit.md)"),
        ("docs/page.md", "[a](https://example.org/docs/fit.md)", "[a](https://example.org/docs/fit.md)"),
        ("docs/page.md", "```\n[a](../SECURITY.md)\n```", "```\n[a](../SECURITY.md)\n```"),
        ("docs/page.md", "[[1] a](../SECURITY.md)", "[[1] a](security.md)"),
    ],
)
def test_a_link_leads_to_where_the_thing_is_in_the_site(
    hook: ModuleType, source: str, link: str, there: str
) -> None:
    assert hook.turned(link, source) == there


def test_the_page_of_a_recipe_has_all_of_it(hook: ModuleType) -> None:
    recipes = hook.recipes()
    assert {"maps", "geom"} <= {recipe.name for recipe in recipes}
    for recipe in recipes:
        page = hook.recipe_page(recipe)
        values = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
        said = {"description", "paper", "differs", "passes"}  # in words above
        assert Recipe.parse(values, "page") == recipe.model_copy(
            update={key: Recipe.model_fields[key].default for key in said}
        )
        assert recipe.description in page
        assert recipe.paper in page
        assert recipe.differs in page
        assert f"--recipe {recipe.name}\n" in page
    assert "`padim`" in hook.recipe_page(load_recipe("maps"))


def test_what_a_page_loads_is_told_from_what_a_reader_may_follow(hook: ModuleType) -> None:
    page = """<a href="https://a.example/x">x</a> <link rel="canonical" href="https://b.example/">
    <script src="https://c.example/x.js"></script> <img src="//d.example/x.png"> <img src="images/x.png">
    <link rel="stylesheet" href="https://e.example/x.css"> <script src="assets/x.js"></script>"""
    found = ["https://c.example/x.js", "//d.example/x.png", "https://e.example/x.css"]
    assert list(hook.loaded_from_elsewhere(page)) == found
