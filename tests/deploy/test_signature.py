"""A field of the dataclass is an option of the command: nothing else need be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner, Result

from onlygood.deploy.options.shared import Options, Quiet
from onlygood.deploy.signature import typed, words_of


@dataclass(frozen=True, kw_only=True)
class Paint(Options):
    """Paint a wall."""

    wall: Annotated[Path, typer.Argument(metavar="WALL", help="What to paint.")]
    coats: Annotated[int, typer.Option("--coats", min=1, help="How often.")] = 2
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Varnish(Paint):
    """Paint a wall so that it shines."""

    gloss: Annotated[list[str] | None, typer.Option("--gloss", help="How it shines.")] = None


def call(options: type[Paint], *arguments: str) -> tuple[list[Paint], Result]:
    taken: list[Paint] = []
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command("paint")(typed(options, taken.append))
    return taken, CliRunner().invoke(app, list(arguments))


def test_what_is_typed_arrives_as_the_dataclass() -> None:
    taken, result = call(Paint, "door", "--coats", "3", "-q")
    assert result.exit_code == 0
    assert taken == [Paint(wall=Path("door"), coats=3, quiet=True)]
    assert call(Paint, "door")[0] == [Paint(wall=Path("door"))]


def test_a_field_that_is_added_is_an_option() -> None:
    assert call(Paint, "door", "--gloss", "dull")[1].exit_code == 2
    taken, _ = call(Varnish, "door", "--gloss", "dull", "--gloss", "silk")
    assert taken == [Varnish(wall=Path("door"), gloss=["dull", "silk"])]


def test_the_help_is_the_docstring_and_the_fields() -> None:
    printed = call(Varnish, "--help")[1].stdout
    assert "Paint a wall so that it shines." in printed
    assert all(words in printed for words in ("WALL", "What to paint.", "--coats", "How often.", "--gloss"))


def test_limits_and_missing_arguments_are_usage_errors() -> None:
    for arguments in (["door", "--coats", "0"], []):
        taken, result = call(Paint, *arguments)
        assert (taken, result.exit_code) == ([], 2)


def test_options_are_typed_as_they_were() -> None:
    given = Varnish(wall=Path("-door"), coats=3, quiet=True, gloss=["dull", "-x=y z"])
    words = words_of(given)
    assert words == ["--coats=3", "--quiet", "--gloss=dull", "--gloss=-x=y z", "--", "-door"]
    assert call(Varnish, *words)[0] == [given]
    assert words_of(Paint(wall=Path("door"))) == ["--", "door"]
