"""Keys of a configuration that the command line changes, such as ``--set training.lr=0.1``."""

from typing import Any

import yaml

from onlygood.runtime.errors import OnlygoodError


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` strings, values in YAML: ``training.lr=0.1``, ``head.names=[knn]``."""
    overrides = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise OnlygoodError(f"--set {item!r}: write KEY=VALUE, such as training.lr=0.1")
        try:
            overrides[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise OnlygoodError(f"--set {item!r}: {value!r} is not a YAML value") from None
    return overrides


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, making the mappings on the way."""
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise OnlygoodError(f"--set {key}: {parent!r} holds a value, not keys")
    values[last] = value
