"""The same graph under other metadata: what a device does to a model file without the onnx package."""

import hashlib

from onlygood.runtime.errors import ModelError
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import LARGEST, UNSEALED, read_metadata, seal
from onlygood.runtime.model.onnxscan import METADATA_KEY, scan

_PROPERTY = 14  # the field of ModelProto; key and value are fields 1 and 2 of its entries


def with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """The model file ``data`` with ``metadata`` in place of its own, sealed anew.

    Not a byte outside our entry changes. What comes out was read back, and holds what was asked for.

    Raises:
        ModelError: the file is not one that can be changed so, or would be too large to be read.
    """
    begin, end = _entry(data)
    key, value = METADATA_KEY.encode(), metadata.model_copy(update={"seal": UNSEALED}).model_dump_json()
    entry = packed_field(1, key) + packed_field(2, value.encode())
    size = begin + len(data) - end + len(entry) + len(_head(_PROPERTY, len(entry)))
    if size > LARGEST:
        raise ModelError(f"{size:,} bytes are more than the {LARGEST:,} that an ONNX file can have")
    changed = seal(data[:begin] + packed_field(_PROPERTY, entry) + data[end:])
    if read_metadata(changed, scan(changed)).model_copy(update={"seal": metadata.seal}) != metadata:
        raise ModelError("the changed metadata do not read back as they were written")
    return changed


def graph_sha256(data: bytes) -> str:
    """SHA-256 of everything in the model file but our metadata: the same after `with_metadata`.

    Raises:
        ModelError: the file is not one of ours.
    """
    begin, end = _entry(data)
    digest = hashlib.sha256(memoryview(data)[:begin])
    digest.update(memoryview(data)[end:])
    return digest.hexdigest()


def _entry(data: bytes) -> tuple[int, int]:
    """Where our entry begins, with its tag and length, and where it ends."""
    start, end = scan(data).entry
    begin = start - len(_head(_PROPERTY, end - start))
    if begin < 0 or data[begin:start] != _head(_PROPERTY, end - start):
        raise ModelError("the metadata of the file are packed as no writer of ONNX does it; export it again")
    return begin, end


def packed_field(number: int, content: bytes) -> bytes:
    """A field of the protobuf wire format that holds bytes."""
    return _head(number, len(content)) + content


def _head(number: int, length: int) -> bytes:
    """Tag and length of such a field."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
