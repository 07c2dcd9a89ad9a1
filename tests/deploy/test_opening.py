"""Every command that reads a model takes --key, and runs nothing that is not signed by it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import minisign
import pytest
from typer.models import ArgumentInfo
from typer.testing import Result

from onlygood.deploy.cli import COMMANDS

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]

UNTOUCHED = {"sign"}  # makes the signature


def reading() -> Iterator[str]:
    """The commands that take model files: their argument says so, wherever it was declared."""
    for name, (options, _) in COMMANDS.items():
        hints = get_type_hints(options, include_extras=True)
        told = [extra for hint in hints.values() for extra in get_args(hint)[1:]]
        if any(isinstance(one, ArgumentInfo) and str(one.metavar).startswith("MODEL") for one in told):
            yield name


# What is typed besides the model: enough to run, where it is not refused.
MORE: dict[str, list[str]] = {
    "score": ["IMAGE"],
    "check": ["IMAGE"],
    "watch": ["FOLDER", "--once", "--settle", "0"],
    "camera": ["0", "--count", "1"],
    "serve": ["--port", "0"],
    "triton": ["-o", "OUT"],
    "info": [],
    "verify": [],
    "evaluate": ["FOLDER"],
    "calibrate": ["FOLDER", "-o", "OUT"],
    "report": ["IMAGE", "-o", "OUT"],
    "explain": ["IMAGE", "-o", "OUT"],
    "page": ["-o", "OUT"],
    "quantize": ["--calibration", "FOLDER", "-o", "OUT"],
    "bench": ["--seconds", "0.01", "-o", "OUT"],
}


def test_all_commands_that_read_models_are_tried() -> None:
    assert set(reading()) - UNTOUCHED == set(MORE)


@pytest.fixture(scope="module")
def keys() -> tuple[minisign.SecretKey, str]:
    """A secret key, and the public one of another."""
    ours, other = minisign.KeyPair.generate(), minisign.KeyPair.generate()
    return ours.secret_key, other.public_key.to_base64().decode()


@pytest.mark.parametrize("name", sorted(MORE))
def test_what_the_key_did_not_sign_is_not_run(
    call: Call, tiny: Path, gray: Gray, keys: tuple[minisign.SecretKey, str], name: str
) -> None:
    places = {"IMAGE": gray("in/x.png", 51), "FOLDER": tiny.parent / "in", "OUT": tiny.parent / "out"}
    typed: list[Any] = [places.get(word, word) for word in MORE[name]]
    Path(f"{tiny}.minisig").write_bytes(bytes(keys[0].sign(tiny.read_bytes())) + b"\n")
    before = set(tiny.parent.rglob("*"))
    result = call(name, tiny, *typed, "--key", keys[1])
    assert result.exit_code == 2
    assert "which --key asks for" in result.output
    assert "x.png" not in result.stdout
    assert set(tiny.parent.rglob("*")) == before
