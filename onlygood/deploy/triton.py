"""A model repository as Triton reads it: a folder a model, with versions and ``config.pbtxt``.

Fields are those of Triton's ``model_config.proto``. The graph is the file as it is: raw scores come out, and
the configuration's parameters tell whoever asks what they mean.
"""

from pathlib import Path

import numpy as np

from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.model.calibration import threshold
from onlygood.runtime.model.modelfile import ModelFile, load_model

FILE = "model.onnx"  # what the ONNX Runtime backend opens
CONFIG = "config.pbtxt"


def config_of(file: ModelFile, name: str, *, most: int, rate: float | None = None) -> str:
    """The configuration of a model called ``name``, which takes ``most`` images at once at most.

    Raises:
        OnlygoodError: the calibration does not allow the rate.
    """
    metadata, spec = file.metadata, file.metadata.input
    held_out = metadata.calibration
    rate = held_out.max_false_alarms if rate is None else rate
    limit = threshold(np.asarray(held_out.scores), rate, held_out.weights())
    told = {
        "max_false_alarms": f"{rate:.9g}",
        "sha256": file.sha256,
        "threshold": f"{limit:.9g}",  # nine digits, which tell any two float32 apart
        "resize": spec.resize,
        "bit_depth": str(spec.bit_depth),
    }
    parameters = "".join(
        f"parameters {{ key: {_text(f'onlygood.{key}')} value {{ string_value: {_text(value)} }} }}\n"
        for key, value in told.items()
    )
    height, width = metadata.heatmap
    size = f"{spec.height}, {spec.width}, {spec.channels}"
    return (
        f"name: {_text(name)}\n"
        'backend: "onnxruntime"\n'
        f"max_batch_size: {most}\n"
        f'input {{ name: "images" data_type: TYPE_UINT8 dims: [ {size} ] }}\n'
        # The graph's score has no dimension but the batch, and Triton's dims may not be empty.
        'output { name: "score" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }\n'
        f'output {{ name: "heatmap" data_type: TYPE_FP32 dims: [ {height}, {width} ] }}\n' + parameters
    )


def add_model(
    path: Path, repository: Path, *, most: int, rate: float | None = None, key: str | None = None
) -> Path:
    """Put a model into a repository, as its next version; returns that version's folder.

    Where the newest version is this very file, it stays. The version is there before the configuration tells
    of it, and each is there whole or not at all.

    Raises:
        OnlygoodError: the model is refused, or the configuration there is not of our making.
    """
    file = load_model(path, None, key)
    name = path.stem
    folder = repository / name
    config = config_of(file, name, most=most, rate=rate)
    names = [found.parent.name for found in folder.glob(f"*/{FILE}")]
    versions = sorted(int(version) for version in names if version.isdecimal())
    there = _text_of(folder / CONFIG)
    if there not in (None, config) and not _ours(there or ""):
        raise OnlygoodError(
            f"{display(folder / CONFIG)} was changed by hand, and would be overwritten: put this model's"
            " parameters into it, or move it away"
        )
    newest = folder / str(versions[-1]) if versions else None
    if newest is None or (newest / FILE).read_bytes() != file.data:
        newest = folder / str(versions[-1] + 1 if versions else 1)
        newest.mkdir(parents=True, exist_ok=True)
        write_atomically(newest / FILE, file.data)
    if there != config:
        write_atomically(folder / CONFIG, config.encode())
    return newest


def _ours(config: str) -> bool:
    """Whether a configuration holds nothing but what `config_of` writes, whatever the values."""
    kinds = [line.partition(" ")[0] for line in config.splitlines()]
    return kinds == ["name:", "backend:", "max_batch_size:", "input", "output", "output", *["parameters"] * 5]


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


def _text(value: str) -> str:
    """A quoted string of protobuf's text format: bytes of UTF-8 that are not plain as octal escapes."""
    plain = (
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in value.encode()
    )
    return f'"{"".join(plain)}"'
