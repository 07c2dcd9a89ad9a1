"""pretrain → anomaly → deploy: an arrow never points back, and everybody may stand on runtime."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import onlygood

PACKAGE = Path(onlygood.__file__).parent
FLOOR = "onlygood.runtime"
# What each package may import of ours, beside the floor and itself.
MAY_IMPORT = {
    FLOOR: set(),
    "onlygood.pretrain": set(),
    "onlygood.anomaly": {"onlygood.pretrain", "onlygood.configs"},
    "onlygood.configs": set(),
    "onlygood.deploy": {"onlygood.pretrain", "onlygood.anomaly", "onlygood.configs", "onlygood"},
}


def home(module: str) -> str:
    """The package of MAY_IMPORT that a dotted name belongs to; "onlygood" for what lies above them."""
    owners = [name for name in MAY_IMPORT if f"{module}.".startswith(f"{name}.")]
    return max(owners, key=len, default="onlygood")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of ours that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "onlygood")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if (node.module or "").split(".")[0] == "onlygood":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_arrow_points_back(package: str) -> None:
    mine = [(name, path) for name, path in modules() if home(name) == package]
    assert mine
    allowed = MAY_IMPORT[package] | {package, FLOOR}
    back = {
        f"{name} imports {used}" for name, path in mine for used in imports(path) if home(used) not in allowed
    }
    assert not back


def test_home_is_the_innermost_package() -> None:
    assert home("onlygood.runtime.images.reader") == FLOOR
    assert home("onlygood.deploy.export") == "onlygood.deploy"
    assert home("onlygood.deploy.runtimes") == "onlygood.deploy"
    assert home("onlygood.__version__") == "onlygood"
