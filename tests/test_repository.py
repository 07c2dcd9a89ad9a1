"""What the repository promises of itself: where it installs from, with which pins, by which commands."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import onlygood

ROOT = Path(__file__).parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PACKAGE = ROOT / "onlygood"
PROJECT = tomllib.loads(PYPROJECT)["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

# Their import names, where these are not the distribution's name in other letters.
IMPORTED_AS = {
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "opencv-python-headless": "cv2",
    "paho-mqtt": "paho",
    "py-minisign": "minisign",
}
# What torch imports for us: the exporter, and torch.utils.tensorboard.
IMPORTED_BY_TORCH = {"onnxscript", "tensorboard"}
IMPORTED_BY_STARLETTE = {"python_multipart"}
IMPORTED_BY_FSSPEC = {"s3fs"}


def files() -> Iterator[Path]:
    """Text files of the repository, found without git: an archive of it has none."""
    folders = [".ci", "benchmarks", "docs", "onlygood", "tests"]
    places = [ROOT.iterdir(), *((ROOT / folder).rglob("*") for folder in folders)]
    for place in places:
        for path in place:
            if path.name == ".git":  # a file in a linked work tree
                continue
            if path.is_file() and b"\0" not in (data := path.read_bytes()) and data:
                yield path


def requirements(*parts: str) -> list[Requirement]:
    """Declared dependencies: of ``base``, or of an extra."""
    extras = PROJECT["optional-dependencies"]
    lines = [line for part in parts for line in (PROJECT["dependencies"] if part == "base" else extras[part])]
    return [Requirement(line) for line in lines]


def pins() -> list[Requirement]:
    return [Requirement(line) for line in CONSTRAINTS.splitlines() if not line.startswith("#")]


def imported(folder: Path) -> set[str]:
    """Top-level packages that the code under ``folder`` imports, at any depth of a function."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"onlygood"}


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"py[p]i\.org|python[h]osted|deb\.[d]ebian\.org|registry\.[n]pmjs", "a package registry's host"),
        (r"(?<![\w.*])/(wor[k]|far[m]|roo[t])/\w", "a path of one machine"),
        (r"^(<{7}|>{7}) ", "a merge conflict"),
    ],
)
def test_no_file_names(pattern: str, what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"{what} in:\n" + "\n".join(found)


def test_pins_are_names_and_versions_only() -> None:
    for pin in pins():
        assert pin.url is None
        # No local version such as +cpu.
        assert re.fullmatch(r"==[0-9.]+(post[0-9]+)?", str(pin.specifier)), pin
    assert "://" not in CONSTRAINTS
    assert not re.search(r"^\s*-", CONSTRAINTS, re.MULTILINE), "an option such as --index-url"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_dependency_has_one_pin_that_it_allows(python: str, machine: str) -> None:
    place = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
    }
    chosen: dict[str, list[Requirement]] = {}
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate(place):
            chosen.setdefault(pin.name, []).append(pin)
    assert {name: pinned for name, pinned in chosen.items() if len(pinned) > 1} == {}
    for requirement in requirements(
        "base", "train", "timm", "mqtt", "sign", "serve", "cloud", "ray", "docs", "dev"
    ):
        (pin,) = chosen[requirement.name]
        assert str(pin.specifier).removeprefix("==") in requirement.specifier, requirement


def test_every_dependency_says_what_it_is_for_and_its_license() -> None:
    tables = PYPROJECT.partition("\ndependencies = [")[2].partition("[project.scripts]")[0]
    lines = [line.strip() for line in tables.splitlines() if line.lstrip().startswith('"')]
    assert len(lines) == len(requirements("base", *PROJECT["optional-dependencies"]))
    for line in lines:
        assert re.fullmatch(r'"[^"]+",\s+# \S.* \(.+\)', line), line


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    def modules(*parts: str) -> set[str]:
        return {IMPORTED_AS.get(item.name, item.name.replace("-", "_")) for item in requirements(*parts)}

    declared = modules("base", "train", "timm", "heif", "mqtt", "sign", "serve", "cloud", "ray")
    others = IMPORTED_BY_TORCH | IMPORTED_BY_STARLETTE | IMPORTED_BY_FSSPEC
    assert imported(ROOT / "onlygood") == declared - others
    assert imported(ROOT / "onlygood/runtime") <= modules("base", "heif", "mqtt", "camera", "sign", "cloud")


def test_one_version() -> None:
    assert onlygood.__version__ == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", ".pre-commit-config.yaml"])
def test_make_commands_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|: )\s*make ([a-z]+)\b", text, re.MULTILINE))
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_ci_calls_the_command_that_people_are_told() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("\nmake test")
    assert "set -euo pipefail" in script
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme


PAGES = [path.relative_to(ROOT).as_posix() for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    found = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    links = {link.partition("#")[0] for link in found if "://" not in link}
    assert {link for link in links if not (path.parent / link).exists()} == set()


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_the_map_shows_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    made = {"demo/", "site/"}  # by commands
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*|\w+\.(?:py|md|toml|txt))`", text)) - made
    drawn = set(re.findall(r"^.*?   ((?:pretrain|anomaly|deploy)/[\w/.]+)", text, re.MULTILINE))
    places = (ROOT, PACKAGE)
    assert {name for name in named | drawn if not any((place / name).exists() for place in places)} == set()


def test_a_commit_is_checked_like_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]  # others are downloaded
    entries = {hook["entry"].replace(".venv/bin/", "").split(" --")[0] for hook in hooks[0]["hooks"]}
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    steps = {line.strip().removeprefix("$(BIN)/").split(" --")[0] for line in recipe.splitlines()[1:]}
    assert entries == {step.removesuffix(" .") for step in steps}


def test_files_have_fewer_than_400_lines() -> None:
    long = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if path.suffix == ".py" and len(path.read_text(encoding="utf-8").splitlines()) >= 400
    }
    assert long == set()
