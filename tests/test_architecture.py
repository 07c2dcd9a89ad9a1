"""Rooms and arrows: a folder is a room, imports are arrows, and every arrow points down the ladder.

The picture in ARCHITECTURE.md is drawn from the source: ``python tests/test_architecture.py`` prints it.
"""

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "onlygood"

# From the floor up: a room may import those before it, and itself.
LADDER = (
    "runtime",
    "runtime.images",
    "runtime.far",
    "runtime.model",
    "runtime.rows",
    "runtime.watch",
    "runtime.camera",
    "pretrain",
    "pretrain.views",
    "pretrain.losses",
    "pretrain.networks",
    "pretrain.data",
    "pretrain.tasks",
    "pretrain.training",
    "pretrain.summary",
    "pretrain.video",
    "pretrain.probe",
    "configs",
    "anomaly.heads",
    "anomaly.data",
    "anomaly",
    "anomaly.doctor",
    "anomaly.evaluation",
    "deploy.demo",
    "deploy.options",
    "deploy",
    "deploy.report",
    "deploy.page",
    "deploy.serve",
    "deploy.commands",
)
# Names above all rooms: the version, and what `import onlygood` gives.
ABOVE = {"onlygood", "onlygood.__main__"}


@cache
def sources() -> dict[str, Path]:
    """Every module by its dotted name; a package by its folder's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, inside functions and for types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def owner(name: str, modules: Mapping[str, Path]) -> str:
    """The module of ours that a dotted name is, or is a name in."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


@cache
def arrows() -> dict[str, set[str]]:
    """Which modules of ours each module imports; the version does not count: it is there before all else."""
    modules = sources()
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        graph[name] = set()
        names = set(imported(ast.parse(path.read_bytes()))) - {"onlygood.__version__"}
        owners = (owner(used, modules) for used in names)
        graph[name].update(used for used in owners if used not in ("", name))
    return graph


def room(module: str) -> str:
    """The folder that a module lies in, below onlygood."""
    path = sources()[module]
    return ".".join(path.parent.relative_to(PACKAGE).parts)


@cache
def rooms() -> dict[str, set[str]]:
    """Arrows between rooms."""
    graph: dict[str, set[str]] = {name: set() for name in LADDER}
    for module, targets in arrows().items():
        if module not in ABOVE:
            ends = {room(target) for target in targets if target not in ABOVE}
            graph.setdefault(room(module), set()).update(ends - {room(module)})
    return graph


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = graph.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


def picture() -> str:
    """The rooms in Mermaid; of arrows that follow from others, none is drawn."""
    graph = rooms()
    lines = ["flowchart TD"]
    for start, ends in graph.items():
        longer = set[str]().union(*(reachable(graph, end) for end in ends))
        lines += [f"  {start} --> {end}" for end in LADDER if end in ends - longer]
    return "\n".join(lines)


def test_every_folder_is_a_room_on_the_ladder() -> None:
    assert rooms().keys() == set(LADDER)


@pytest.mark.parametrize("name", LADDER)
def test_every_arrow_points_down(name: str) -> None:
    below = set(LADDER[: LADDER.index(name)])
    up = {
        f"{module} imports {target}"
        for module, targets in arrows().items()
        if module not in ABOVE and room(module) == name
        for target in targets
        if target not in ABOVE and room(target) not in below | {name}
    }
    assert not up


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = arrows()
    assert {module for module in graph if module in reachable(graph, module)} == set()


def test_nothing_but_the_version_is_taken_from_above() -> None:
    for name, path in sources().items():
        if name not in ABOVE:
            taken = {used for used in imported(ast.parse(path.read_bytes())) if used.count(".") <= 1}
            ours = {used for used in taken if used.split(".")[0] == "onlygood"}
            assert ours <= {"onlygood.__version__"}, name


def test_commands_share_what_is_below_them_and_never_each_other() -> None:
    commands = {name for name in sources() if room(name) == "deploy.commands"}
    common = {"onlygood.deploy.commands", "onlygood.deploy.commands.common"}
    for name in commands - common:
        assert arrows()[name] & commands <= common, name


def test_tests_and_benchmarks_lie_in_rooms_of_the_same_names() -> None:
    folders = {".".join(p.parent.relative_to(PACKAGE).parts) for p in PACKAGE.rglob("*.py")}
    folders |= {folder.rpartition(".")[0] for folder in folders}
    for top in ("tests", "benchmarks"):
        used = {".".join(p.parent.relative_to(ROOT / top).parts) for p in (ROOT / top).rglob("*.py")}
        assert used <= folders, top


def test_the_picture_shows_the_rooms_as_they_are() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = re.findall(r"```mermaid\n(.*?)\n```", page, re.DOTALL)
    assert drawn == [picture()]


def test_reachable_by_hand() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}}
    assert [reachable(graph, name) for name in "abc"] == [{"b", "c"}] * 3
    assert not any(a in reachable(graph, b) for a, b in itertools.product("a", "bc"))


if __name__ == "__main__":
    print(picture())  # noqa: T201
