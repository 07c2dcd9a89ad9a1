"""What `make docs` adds to docs/: a hook of MkDocs.

The repository's pages outside docs/ become pages of the site, and links are turned to where things are there.
Each recipe gets a page, and what others program against a reference, from docstrings. A site that would load
anything from the network is refused.
"""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from onlygood.anomaly.recipe import RECIPES, Recipe, load_recipe

ROOT = Path(__file__).parent.parent

# Pages that lie outside docs/, and their names in the site.
OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarking.md",
    "examples/README.md": "examples.md",
}
REFERENCE = {
    "reference/python.md": (
        "Python",
        "What a program imports. `from onlygood import Detector, OnlyGood`; the former needs no PyTorch.",
        [
            "onlygood.runtime.model.detector.Detector",
            "onlygood.runtime.model.result.Result",
            "onlygood.deploy.estimator.OnlyGood",
            "onlygood.deploy.ray.score_dataset",
            "onlygood.runtime.errors.OnlygoodError",
            "onlygood.runtime.errors.ImageError",
        ],
    ),
    "reference/seams.md": (
        "Seams",
        "What tasks, heads, encoders and recipes are made of, for those who add some "
        "([how](../architecture.md#where-to-add)).",
        [
            "onlygood.pretrain.tasks.base",
            "onlygood.pretrain.tasks.registry",
            "onlygood.anomaly.heads.base",
            "onlygood.anomaly.heads.outputs",
            "onlygood.anomaly.heads.registry",
            "onlygood.pretrain.networks.registry",
            "onlygood.anomaly.recipe",
            "onlygood.anomaly.branch",
            "onlygood.runtime.registry",
            "onlygood.runtime.strict",
        ],
    ),
    "reference/runtime.md": (
        "Runtime",
        "The floor that training and the edge stand on.",
        [
            "onlygood.runtime.images.reader",
            "onlygood.runtime.images.resize",
            "onlygood.runtime.model.calibration",
            "onlygood.runtime.model.frames",
            "onlygood.runtime.rows.verdicts",
        ],
    ),
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)


def recipes() -> list[Recipe]:
    """Those that come along, by their names."""
    return [load_recipe(name) for name, entry in RECIPES.items() if entry.where.startswith("onlygood.")]


def recipe_page(recipe: Recipe) -> str:
    """A recipe in words and as YAML, with a link to the task and the heads that it takes."""
    heads = sorted({name for branch in recipe.all_branches() for name in branch.head.names})
    cost = recipe.cost()
    facts = {
        "After": recipe.paper,
        "Otherwise than there": recipe.differs,
        "Pretext task": f"[`{recipe.task.name}`](../pretext-tasks.md)",
        "Heads": ", ".join(f"[`{head}`](../heads.md)" for head in heads),
        "Encoder": f"[`{recipe.encoder}`](../encoders.md)",
        "Input": f"{recipe.input.side} px",
        "Training": f"{cost:,} passes of {recipe.passes.side} px" if cost and recipe.passes else "none",
    }
    values = recipe.model_dump(mode="json", exclude={"description", "paper", "differs", "passes"})
    every_key = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items() if value)
    return f"""# {recipe.name}

For {recipe.description}.

```console
$ onlygood fit GOOD_DIR -o model.onnx --recipe {recipe.name}
```

{listed}

## All keys

`onlygood recipes {recipe.name} > mine.yaml` writes them to a file, to be changed; `--set KEY=VALUE` changes
one.

```yaml
{every_key}```
"""


def reference_page(title: str, words: str, things: list[str]) -> str:
    """The docstrings of some modules, classes and functions."""
    return "\n\n".join([f"# {title}", words, *(f"::: {thing}" for thing in things)]) + "\n"


def turned(text: str, source: str) -> str:
    """The text of the repository's page ``source`` with its links as they are in the site.

    What is in the repository alone loses its link and keeps its name.
    """
    here = places()[source]

    def turn(match: re.Match[str]) -> str:
        image, name, link = match.groups()
        path, _, anchor = link.partition("#")
        if "://" in link or not path:
            return match[0]
        target = os.path.normpath(PurePosixPath(source).parent / path)
        if target.startswith("docs/images/"):
            there: str | None = target.removeprefix("docs/")
        else:
            there = places().get(target)
        if there is None:
            return name
        relative = os.path.relpath(there, PurePosixPath(here).parent)
        return f"{image}[{name}]({relative}{'#' * bool(anchor)}{anchor})"

    pieces = _FENCE.split(text)  # what is code stays as it is
    return "".join(piece if piece.startswith("```") else _LINK.sub(turn, piece) for piece in pieces)


def places() -> dict[str, str]:
    """Pages of the repository, and where they are in the site."""
    return {f"docs/{page.name}": page.name for page in ROOT.glob("docs/*.md")} | OUTSIDE


class Loads(HTMLParser):
    """Addresses that a page loads by itself, not those that a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Scripts, styles, pictures and the like."""
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "prev", "next"):
            return
        names = ("src", "srcset", "href", "data") if tag != "a" else ()
        self.found += [value for name in names if (value := values.get(name))]


def loaded_from_elsewhere(page: str) -> Iterator[str]:
    """What a page would load from the network."""
    parser = Loads()
    parser.feed(page)
    for address in parser.found:
        if urlsplit(address).netloc:
            yield address


# --- what MkDocs calls


def on_files(files: Any, *, config: Any) -> Any:
    """Bring pages that docs/ does not hold."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - the tests of this file do without

    made = {place: (ROOT / source).read_text(encoding="utf-8") for source, place in OUTSIDE.items()}
    made |= {f"recipes/{recipe.name}.md": recipe_page(recipe) for recipe in recipes()}
    made |= {place: reference_page(*what) for place, what in REFERENCE.items()}
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    icon = (ROOT / "web/page/icon.svg").read_text(encoding="utf-8")
    files.append(File.generated(config, "assets/icon.svg", content=icon))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links; in the tables of recipes each name leads to its page."""
    place = page.file.src_uri
    source = {there: here for here, there in places().items()}.get(place)
    if source is None:
        return markdown
    text = turned(markdown, source)
    if place == "recipes.md":
        for recipe in recipes():
            text = text.replace(
                f"\n| `{recipe.name}` |", f"\n| [`{recipe.name}`](recipes/{recipe.name}.md) |"
            )
    return text


def on_post_build(*, config: Any) -> None:
    """Refuse a site that is not whole in itself."""
    from mkdocs.exceptions import PluginError  # noqa: PLC0415 - the tests of this file do without

    for path in Path(config.site_dir).rglob("*.html"):
        for address in loaded_from_elsewhere(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path.relative_to(config.site_dir)} loads {address}")
