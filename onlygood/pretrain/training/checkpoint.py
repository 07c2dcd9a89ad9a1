"""Checkpoints without pickle: one safetensors file, its scalars as JSON in the header, replaced atomically.

The file is written under another name, flushed to the disk and renamed, so that a kill or a power cut at any
instant leaves the old checkpoint or the new one, whole.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError

FILE_NAME = "checkpoint.safetensors"
_HASH = re.compile("[0-9a-f]{64}")
_HEADER_KEY = "onlygood_checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """``model.<name>`` and ``optimizer.<parameter>.<name>`` tensors on the CPU, and JSON scalars."""

    path: Path
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, scalars: Mapping[str, Any]
) -> None:
    """Write the model's state dict, the optimizer's tensors and ``scalars`` (JSON) to ``path``."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        found = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        tensors |= {f"optimizer.{index}.{name}": value for name, value in found.items()}
    write_atomically(path, to_bytes(_plain(tensors), {_HEADER_KEY: json.dumps(scalars, allow_nan=False)}))


def save_state(module: nn.Module, path: Path) -> None:
    """Write the whole state of a trained task: encoder, classifier and buffers, without the optimizer's."""
    write_atomically(path, to_bytes(_plain(module.state_dict())))


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Clones on the CPU: safetensors refuses tensors that share memory (tied weights, expanded buffers)."""
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what ``save_checkpoint`` wrote.

    Raises:
        OnlygoodError: the file is missing, cut short or no checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            scalars = json.loads((file.metadata() or {})[_HEADER_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise OnlygoodError(f"{path}: cannot be read as a checkpoint: {error}") from error
    except (KeyError, json.JSONDecodeError):
        raise OnlygoodError(f"{path}: a safetensors file, but not a checkpoint of onlygood") from None
    return Checkpoint(path, tensors, scalars)


def check_unused(path: Path, *, resume: bool) -> None:
    """Refuse a checkpoint's place where a training was not finished, unless that one is to go on.

    Raises:
        OnlygoodError: the folder holds a run that is not to be resumed.
    """
    if not resume and path.exists():
        raise OnlygoodError(
            f"{path.parent} already holds a training run; resume it (--resume) or choose another folder"
        )


def find_checkpoint(path: Path, identity: dict[str, Any], *, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, if that is asked for and it is of the same run."""
    check_unused(path, resume=resume)
    if not path.exists():
        return None
    saved = load_checkpoint(path)
    if found := differences(saved.scalars["identity"], identity):
        raise OnlygoodError(
            f"not resumed, for {'; '.join(found)}. Give what the training in {path.parent} began with, or "
            "choose another folder"
        )
    return saved


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the tensors of a checkpoint back, bit for bit.

    Raises:
        OnlygoodError: the checkpoint belongs to another network.
    """
    weights = _below("model.", checkpoint.tensors)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise OnlygoodError(f"{checkpoint.path}: the checkpoint is of another network: {reason}") from error
    current = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _below("optimizer.", checkpoint.tensors).items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if name != "step" and value.shape == parameter.shape:  # moments keep their parameter's memory layout
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)  # noqa: PLW2901
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two nested descriptions, as ``config.lr was 0.05, is 0.1``; not of hashes."""
    old, new = (_flat(json.loads(json.dumps(side, allow_nan=False))) for side in (then, now))
    found = []
    for key in sorted(old | new):
        before, after = old.get(key, "absent"), new.get(key, "absent")
        if before != after:
            hashed = all(_HASH.fullmatch(str(value)) for value in (before, after))
            found.append(f"{key}: not the same" if hashed else f"{key} was {before}, is {after}")
    return found


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
