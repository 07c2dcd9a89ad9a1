"""The model file before anything runs it: read once, scanned without the onnx package, sealed.

The scan walks the protobuf wire format of ``onnx.proto`` and refuses what a detector never needs and an
attacker might: weights in other files, control flow, functions, custom operators. onnxruntime then loads
the very bytes that were scanned and hashed.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from onlygood.deploy.runtime.errors import ModelError, OnlygoodError
from onlygood.deploy.runtime.metadata import Metadata

METADATA_KEY = "onlygood"
UNSEALED = "0" * 64

# Arithmetic on tensors and nothing else: no Loop, If or Scan, which can run for ever; no Random*, no strings.
_OPS = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant
ConstantOfShape Conv ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp
Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mish Mod Mul
Neg Not OneHot Or PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign
SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where
"""
ALLOWED_OPS = frozenset(_OPS.split())

_SEAL = re.compile(rb'"seal":\s?"([0-9a-f]{64})"')


@dataclass(frozen=True)
class ModelFile:
    """A model file whose structure, metadata and seal were checked."""

    data: bytes
    metadata: Metadata
    sha256: str
    ir_version: int
    opset: int


@dataclass
class Structure:
    """What the scan of the graph's container finds; ``metadata`` is the span of our JSON in the file."""

    ir_version: int = 0
    opset: int = 0
    metadata: tuple[int, int] | None = None
    operators: set[str] = field(default_factory=set)


def load_model(path: Path | str, sha256: str | None = None) -> ModelFile:
    """Read, hash, scan and check the file; raises ModelError that says which of these failed.

    ``sha256`` (64 hexadecimal digits) is what the whole file must hash to.
    """
    try:
        data = read(path)
        digest = check_sha256(data, sha256)
        structure = scan(data)
        metadata = read_metadata(data, structure)
        if not check_seal(data):
            raise ModelError(broken_seal(metadata))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return ModelFile(data, metadata, digest, structure.ir_version, structure.opset)


def read(path: Path | str) -> bytes:
    """The file's bytes."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"the model file cannot be read: {error.strerror}") from None


def check_sha256(data: bytes, expected: str | None = None) -> str:
    """The SHA-256 of ``data``, which must be ``expected`` where one is given."""
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and expected.strip().lower() != digest:
        raise ModelError(f"the file's SHA-256 is {digest}, not {expected.strip()}: this is another file")
    return digest


def read_metadata(data: bytes, structure: Structure) -> Metadata:
    """The validated metadata, with calibration scores that are finite and ascending."""
    if structure.metadata is None:
        raise ModelError("no onlygood metadata: an ONNX model, but not one that `onlygood fit` wrote")
    start, end = structure.metadata
    try:
        metadata = Metadata.model_validate_json(data[start:end])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"the metadata are not valid ({where}: {first['msg']})") from None
    scores = metadata.calibration.scores
    ascending = all(low <= high for low, high in itertools.pairwise(scores))
    if not ascending or not all(map(math.isfinite, scores)):
        raise ModelError("the calibration scores are not finite numbers in ascending order")
    return metadata


def seal(data: bytes) -> bytes:
    """``data`` with its seal filled in: the SHA-256 of the file with the seal's 64 digits zero."""
    start, end = _seal_span(data)
    return data[:start] + _unsealed_hash(data, start, end).encode() + data[end:]


def check_seal(data: bytes) -> bool:
    """Whether not one byte changed since the file was sealed."""
    try:
        start, end = _seal_span(data)
    except OnlygoodError:
        return False
    return data[start:end] == _unsealed_hash(data, start, end).encode()


def broken_seal(metadata: Metadata) -> str:
    """Why a file whose seal does not hold is refused."""
    if metadata.seal == UNSEALED:
        return "the file was never sealed; export it again"
    return "the file was changed or damaged after it was exported; copy or export it again"


def _seal_span(data: bytes) -> tuple[int, int]:
    """Where the seal's 64 digits stand in the file."""
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


# --- The scan. Numbers are field numbers of onnx.proto; a span is (start, end) in the file. -----------------

Span = tuple[int, int]
_DATA_LOCATION, _EXTERNAL_DATA = 14, 13


def scan(data: bytes) -> Structure:
    """Walk the ModelProto; raises ModelError for anything that a detector's file does not hold."""
    found = Structure()
    try:
        for number, value in _fields(data, (0, len(data))):
            match number, value:
                case 1, int():
                    found.ir_version = value
                case 7, (_, _):
                    _scan_graph(data, value, found)
                case 8, (_, _):
                    _scan_opset(data, value, found)
                case 14, (_, _):
                    _scan_property(data, value, found)
                case ((20 | 25), _):
                    raise ModelError("the model holds functions or training steps, which are not allowed")
    except (IndexError, UnicodeDecodeError):
        raise ModelError(_NOT_ONNX) from None
    if not found.operators:
        raise ModelError(_NOT_ONNX)
    return found


_NOT_ONNX = "not a loadable ONNX model (empty, truncated or corrupted); copy or export it again"


def _scan_graph(data: bytes, span: Span, found: Structure) -> None:
    for number, value in _fields(data, span):
        match number, value:
            case 1, (_, _):
                _scan_node(data, value, found)
            case 5, (_, _):
                _scan_tensor(data, value)
            case 15, _:
                raise ModelError("the model holds sparse weights, which are not allowed")


def _scan_node(data: bytes, span: Span, found: Structure) -> None:
    for number, value in _fields(data, span):
        match number, value:
            case 4, (start, end):
                operator = data[start:end].decode()
                if operator not in ALLOWED_OPS:
                    raise ModelError(f"the model uses the operator {operator!r}, which is not allowed")
                found.operators.add(operator)
            case 5, (_, _):
                _scan_attribute(data, value)
            case 7, (start, end) if end > start:
                domain = data[start:end].decode()
                raise ModelError(f"the model uses operators of {domain!r}; only standard ones are allowed")


def _scan_attribute(data: bytes, span: Span) -> None:
    for number, value in _fields(data, span):
        match number, value:
            case ((5 | 10), (_, _)):
                _scan_tensor(data, value)
            case ((6 | 11 | 22 | 23), _):
                raise ModelError("the model holds an inner graph or sparse weights, which are not allowed")


def _scan_tensor(data: bytes, span: Span) -> None:
    for number, value in _fields(data, span):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise ModelError("the model keeps weights in another file; an onlygood model is one file")


def _scan_opset(data: bytes, span: Span, found: Structure) -> None:
    domain, version = b"", 0
    for number, value in _fields(data, span):
        match number, value:
            case 1, (start, end):
                domain = data[start:end]
            case 2, int():
                version = value
    if domain in (b"", b"ai.onnx"):
        found.opset = version


def _scan_property(data: bytes, span: Span, found: Structure) -> None:
    key, content = b"", (0, 0)
    for number, value in _fields(data, span):
        match number, value:
            case 1, (start, end):
                key = data[start:end]
            case 2, (_, _):
                content = value
    if key == METADATA_KEY.encode():
        if found.metadata is not None:
            raise ModelError("the model holds onlygood metadata twice")
        found.metadata = content


def _fields(data: bytes, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Fields of the message in ``span``: numbers as they are, everything longer as its span."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | Span
        if wire == 0:
            value, at = _varint(data, at)
        elif wire in (1, 2, 5):
            length, at = (8, at) if wire == 1 else (4, at) if wire == 5 else _varint(data, at)
            value, at = (at, at + length), at + length
        else:
            raise ModelError(_NOT_ONNX)
        if at > end or not 0 < number < 1 << 29:
            raise ModelError(_NOT_ONNX)
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where the next thing starts."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ModelError(_NOT_ONNX)
