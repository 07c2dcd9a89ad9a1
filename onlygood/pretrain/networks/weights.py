"""Weights of encoders as safetensors files, which say whose they are."""

import json
from pathlib import Path

from onlygood.pretrain.networks.base import Encoder
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError


def save_weights(encoder: Encoder, path: Path, *, standardize: str) -> None:
    """Write the weights as safetensors; the header says which encoder, its channels and how images reach it.

    The header has one entry: safetensors writes several in any order, and the same weights are to give the
    same file.
    """
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    about = {"encoder": encoder.name, "channels": encoder.channels, "standardize": standardize}
    header = json.dumps(about, allow_nan=False)
    write_atomically(path, save(tensors, {"onlygood": header}))


def load_weights(encoder: Encoder, path: Path) -> None:
    """Load a safetensors file whose tensors fit ``encoder`` exactly; names may begin with ``encoder.``."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise OnlygoodError(f"{path}: not a readable safetensors file ({error})") from None
    if any(key.startswith("encoder.") for key in tensors):
        tensors = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise OnlygoodError(
            f"{path}: these are not the weights of encoder {encoder.name!r} with {encoder.channels} "
            f"channel(s): {reason}"
        ) from None
