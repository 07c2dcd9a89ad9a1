"""States written before a part had its name of today are still read."""

from collections.abc import Mapping
from typing import Any

from torch import nn


def read_older_names(module: nn.Module, names: Mapping[str, str]) -> None:
    """Let ``module`` load states with older names of its parts, which ``names`` maps to those of today."""

    def rename(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
        for key in list(state):
            part, dot, rest = key.removeprefix(prefix).partition(".")
            if key.startswith(prefix) and part in names:
                state[prefix + names[part] + dot + rest] = state.pop(key)

    module.register_load_state_dict_pre_hook(rename)  # type: ignore[no-untyped-call]
