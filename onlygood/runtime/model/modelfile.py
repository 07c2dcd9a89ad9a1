"""The model file before it runs: read once, scanned without the onnx package, and its seal checked.

onnxruntime then loads exactly the bytes that were scanned and hashed.
"""

import hashlib
import itertools
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, overload

from onlygood.runtime import jsontext
from onlygood.runtime.errors import ModelError, OnlygoodError
from onlygood.runtime.model.metadata import SCHEMA_VERSION, Metadata, upgrade
from onlygood.runtime.model.onnxscan import Structure, scan
from onlygood.runtime.model.signed import check_signature

MOST_VALUES = 4_000_000  # in the metadata: each costs some hundred bytes while they are checked
LARGEST = 2**31 - 1  # bytes: protobuf reads no more
UNSEALED = "0" * 64

_LOOK_FIRST = 1 << 24  # bytes; a larger file is scanned before it is read
_PAGE = 1 << 16
_SEAL = re.compile(rb'"seal":\s?"([0-9a-f]{64})"')


@dataclass(frozen=True)
class ModelFile:
    """A model file whose structure, metadata and seal are checked."""

    data: bytes
    metadata: Metadata
    sha256: str
    ir_version: int
    opset: int


def load_model(path: Path | str, sha256: str | None = None, key: Path | str | None = None) -> ModelFile:
    """Read, hash, scan and check the file.

    ``sha256`` (64 hexadecimal digits), if given, must be the hash of the whole file; ``key``, a public key or
    the file that holds it, must have signed it.

    Raises:
        ModelError: one of the checks failed; the message says which.
        OnlygoodError: the key cannot be used.
    """
    try:
        data = read(path)
        digest = check_sha256(data, sha256)
        if key is not None:
            check_signature(path, data, key)
        structure = scan(data)
        metadata = read_metadata(data, structure)
        if not check_seal(data):
            raise ModelError(broken_seal(metadata))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return ModelFile(data, metadata, digest, structure.ir_version, structure.opset)


def read(path: Path | str) -> bytes:
    """The bytes of the file. The structure of a large file is scanned first, which reads only a few pages.

    Raises:
        ModelError: not a regular file, too large for ONNX, or a large file that is not a model of ours.
    """
    try:
        with open(path, "rb", buffering=0, opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError("not a regular file: a model is no folder, pipe or device")
            size = status.st_size
            if size > LARGEST:
                raise ModelError(f"{size:,} bytes are more than the {LARGEST:,} that an ONNX file can have")
            if size > _LOOK_FIRST:
                scan(_Pages(file, size))
            file.seek(0)
            data = file.read(size)
    except OSError as error:
        raise ModelError(f"the model file cannot be read: {error.strerror}") from None
    if len(data) != size:
        raise ModelError("the file changed while it was read; is it still being copied?")
    return data


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for a process to write into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class _Pages:
    """A file that is read in pages, only where it is accessed."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self._number, self._page = -1, b""

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, where: int, /) -> int: ...

    @overload
    def __getitem__(self, where: slice, /) -> bytes: ...

    def __getitem__(self, where: int | slice, /) -> int | bytes:
        if isinstance(where, slice):
            self._file.seek(where.start)
            return self._file.read(where.stop - where.start)
        number, offset = divmod(where, _PAGE)
        if number != self._number:
            self._file.seek(number * _PAGE)
            self._number, self._page = number, self._file.read(_PAGE)
        return self._page[offset]


def check_sha256(data: bytes, expected: str | None = None) -> str:
    """The SHA-256 of ``data``.

    Raises:
        ModelError: it is not ``expected``.
    """
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and expected.strip().lower() != digest:
        raise ModelError(f"the file's SHA-256 is {digest}, not {expected.strip()}: this is another file")
    return digest


def read_metadata(data: bytes, structure: Structure) -> Metadata:
    """The validated metadata, with calibration scores in ascending order.

    Raises:
        ModelError: there are none, or they are not valid.
    """
    if structure.metadata is None:
        raise ModelError("no onlygood metadata: an ONNX model, but not one that `onlygood fit` wrote")
    start, end = structure.metadata
    if data.count(b",", start, end) >= MOST_VALUES:
        raise ModelError(f"the metadata hold more than {MOST_VALUES:,} values, which no detector needs")
    try:
        values = jsontext.loads(data[start:end])
    except ValueError as error:
        raise ModelError(f"the metadata are not JSON ({error})") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if type(version) is int and version > SCHEMA_VERSION:  # said first: newer files have newer keys
        raise ModelError(
            f"written by a newer onlygood (schema {str(version)[:20]}); this one reads 1 to {SCHEMA_VERSION}:"
            " upgrade onlygood"
        )
    try:
        metadata = Metadata.parse_json(jsontext.dumps(upgrade(values)), "the metadata are not valid")
    except OnlygoodError as error:
        raise ModelError(str(error)) from None
    for name, held_out in (("calibration", metadata.calibration), ("peaks", metadata.peaks)):
        if held_out and any(low > high for low, high in itertools.pairwise(held_out.scores)):
            raise ModelError(f"the metadata are not valid: {name}.scores are not in ascending order")
    return metadata


def seal(data: bytes) -> bytes:
    """``data`` with its seal filled in: the SHA-256 of the file with zeros in place of the 64 digits."""
    start, end = _seal_span(data)
    return data[:start] + _unsealed_hash(data, start, end).encode() + data[end:]


def check_seal(data: bytes) -> bool:
    """Whether the file is unchanged since it was sealed."""
    try:
        start, end = _seal_span(data)
    except OnlygoodError:
        return False
    return data[start:end] == _unsealed_hash(data, start, end).encode()


def broken_seal(metadata: Metadata) -> str:
    """The reason to give for a file whose seal is wrong."""
    if metadata.seal == UNSEALED:
        return "the file was never sealed; export it again"
    return "the file was changed or damaged after it was exported; copy or export it again"


def _seal_span(data: bytes) -> tuple[int, int]:
    """Start and end of the seal's 64 digits in the file."""
    start, end = scan(data).metadata or (0, 0)
    places = list(_SEAL.finditer(data, start, end))
    if len(places) != 1:
        raise ModelError(f"the metadata hold {len(places)} seals where there must be one")
    return places[0].span(1)


def _unsealed_hash(data: bytes, start: int, end: int) -> str:
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(UNSEALED.encode())
    digest.update(memoryview(data)[end:])
    return digest.hexdigest()
