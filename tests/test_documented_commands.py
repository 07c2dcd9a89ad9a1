"""What README and docs tell people to type: the commands are there, and take the options that are shown."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlygood.deploy.cli import COMMANDS, app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def typed(text: str) -> list[tuple[str, list[str]]]:
    """Commands of ours, with their long options, in blocks of code; a backslash goes on in the next line."""
    found = []
    for block in re.findall(r"^```(?:console|sh|bash|shell)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for name, rest in re.findall(r"(?:^|\$ |[|&] ?)onlygood ([a-z][\w-]*)([^#|&]*)", line):
                found.append((name, re.findall(r"(?<![\w-])--[a-z][\w-]*", rest)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_page_can_be_typed(page: Path) -> None:
    for name, options in typed(page.read_text(encoding="utf-8")):
        assert name in COMMANDS, f"onlygood {name}"
        printed = CliRunner().invoke(app, [name, "--help"]).stdout
        known = set(re.findall(r"--[a-z][\w-]*", printed))
        assert set(options) <= known, f"onlygood {name}: {set(options) - known}"


def test_commands_are_found_where_people_read_them() -> None:
    text = (
        "```console\n$ onlygood fit x --steps 3 \\\n      --all-good  # --not-this\n"
        "$ cat list | onlygood check m.onnx - --quiet\n```\n"
    )
    assert typed(text) == [("fit", ["--steps", "--all-good"]), ("check", ["--quiet"])]
    assert sum(len(typed(page.read_text(encoding="utf-8"))) for page in PAGES) > 40
