"""Weights of encoders in files: our own, which say whose they are, and those that others publish."""

import argparse
import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onlygood.pretrain.networks import published
from onlygood.pretrain.networks.base import Encoder
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError

_HEADER_KEY = "onlygood"


@dataclass(frozen=True)
class Weights:
    """Tensors by name, nested names joined by dots; ``about`` is what `save_weights` wrote of the encoder."""

    source: str
    tensors: dict[str, Tensor]
    about: dict[str, Any]
    sha256: str


def save_weights(encoder: Encoder, path: Path, *, standardize: str) -> None:
    """Write the weights as safetensors; the header says which encoder, its channels and how images reach it.

    The header has one entry: safetensors writes several in any order, and the same weights are to give the
    same file.
    """
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    about = {"encoder": encoder.name, "channels": encoder.channels, "standardize": standardize}
    header = json.dumps(about, allow_nan=False)
    write_atomically(path, save(tensors, {_HEADER_KEY: header}))


def read_weights(path: Path) -> Weights:
    """Read a safetensors file or a state dict of torch, however it is wrapped; no code in it is run.

    Raises:
        OnlygoodError: the file cannot be read, or holds objects beside tensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OnlygoodError(f"{path}: cannot read the weights ({error.strerror})") from None
    if path.suffix == ".safetensors" or start[8:] == b"{":
        tensors, about = _read_safetensors(path)
    else:
        tensors, about = _flat(_read_torch(path)), {}
    return Weights(str(path), tensors, about, digest)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            about = json.loads((file.metadata() or {}).get(_HEADER_KEY, "{}"))
    except (SafetensorError, OSError) as error:
        raise OnlygoodError(f"{path}: not a readable safetensors file ({error})") from None
    except ValueError:
        about = {}
    return tensors, about if isinstance(about, dict) else {}


def _read_torch(path: Path) -> Any:
    try:
        # Training scripts put their arguments beside the tensors; a namespace holds values and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if name := re.search(r"GLOBAL (\S+) was not an allowed global", str(error)):
            raise OnlygoodError(
                f"{path}: holds objects of {name[1]} beside tensors, and reading those can run any code; if "
                "you trust it, load it with torch, and save its state dict alone"
            ) from None
        reason = str(error).partition("\n")[0]
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
    raise OnlygoodError(f"{path}: neither a safetensors file nor a state dict of torch ({reason})") from None


def _flat(values: Any, prefix: str = "") -> dict[str, Tensor]:
    """The tensors in nested mappings; what is no tensor is passed over."""
    if isinstance(values, Tensor):
        return {prefix.removesuffix("."): values}
    found: dict[str, Tensor] = {}
    if isinstance(values, Mapping):
        for key, value in values.items():
            found |= _flat(value, f"{prefix}{key}.")
    return found


def locate(encoder: Encoder, weights: Weights) -> published.Place:
    """Where the encoder's tensors lie in the weights, under our names or published ones."""
    return published.find_place(weights.tensors, encoder.state_dict(), [published.OWN, *encoder.published])


def fill(encoder: Encoder, weights: Weights) -> list[str]:
    """Copy weights into ``encoder``; of others' files, what was read and what was left out, in words.

    Raises:
        OnlygoodError: a tensor is missing, has another shape, or shows that it is another network.
    """
    place = locate(encoder, weights)
    if place.missing:
        raise _other_network(encoder, weights, f"{place.missing[0]} is missing")
    if more := place.beyond(weights.tensors):
        raise _other_network(encoder, weights, f"{more} is not part of this encoder")
    state, notes = encoder.state_dict(), []
    for name, key in place.keys.items():
        value, ours = weights.tensors[key], state[name]
        if value.shape != ours.shape:
            adapted = encoder.adapt(name, value) if place.foreign else None
            if adapted is None:
                shapes = f"{tuple(value.shape)}, not {tuple(ours.shape)}"
                raise _other_network(encoder, weights, f"{key} has the shape {shapes}")
            value, words = adapted
            notes.append(words)
        state[name] = value
    if objection := encoder.objection(place.prefix, state):
        raise _other_network(encoder, weights, objection)
    encoder.load_state_dict(state)
    return [_report(weights, place), *notes] if place.foreign else []


def _other_network(encoder: Encoder, weights: Weights, problem: str) -> OnlygoodError:
    whose = weights.about.get("encoder")
    looks = f"encoder {whose!r}" if whose else published.describe(weights.tensors)
    return OnlygoodError(
        f"{weights.source}: these are not the weights of encoder {encoder.name!r} with {encoder.channels} "
        f"channel(s): {problem}; it looks like {looks}"
    )


def _report(weights: Weights, place: published.Place) -> str:
    whose = published.layout(weights.tensors)
    rest = ", ".join(published.left_out(weights.tensors, place))
    layout = f"laid out as {whose}'s, " if whose else ""
    inside = f" from {place.prefix.removesuffix('.')}" if place.prefix else ""
    left = f"left out: {rest}" if rest else "nothing left out"
    return f"{weights.source}: {layout}{len(place.keys)} tensors taken{inside}; {left}"


def load_weights(encoder: Encoder, path: Path) -> None:
    """Load a file whose tensors fit ``encoder``; see `fill`."""
    fill(encoder, read_weights(path))
