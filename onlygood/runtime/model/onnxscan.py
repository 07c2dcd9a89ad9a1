"""The contents of a model file, by a walk through the protobuf wire format of ``onnx.proto``, without onnx.

The scan refuses what a detector never needs but an attacker may use: weights in other files, control flow,
functions, custom operators. It reads tags and lengths and skips weights, so that it reads only small parts of
a large file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, overload

from onlygood.runtime.errors import ModelError

METADATA_KEY = "onlygood"
LARGEST_METADATA = 1 << 26  # bytes: enough for the hashes of some million images
_MOST_FIELDS = 1_000_000  # a model has thousands; a hostile file could keep the scan busy for hours
_LONGEST_NAME = 1024  # bytes

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


class Data(Protocol):
    """Bytes, or an object that reads them where they are accessed."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, where: int, /) -> int: ...

    @overload
    def __getitem__(self, where: slice, /) -> bytes: ...


@dataclass
class Structure:
    """The result of a scan; ``metadata`` is the span of our JSON in the file, ``entry`` that of its entry."""

    ir_version: int = 0
    opset: int = 0
    metadata: tuple[int, int] | None = None
    entry: tuple[int, int] = (0, 0)  # key and value, without their tag and length
    operators: set[str] = field(default_factory=set)
    fields: int = 0  # visited so far


Span = tuple[int, int]  # where something starts and ends in the file
_DATA_LOCATION, _EXTERNAL_DATA = 14, 13  # numbers here and below are field numbers of onnx.proto


def scan(data: Data) -> Structure:
    """Walk through the ModelProto.

    Raises:
        ModelError: the file is not an ONNX model, or holds what a detector does not need.
    """
    found = Structure()
    try:
        for number, value in fields(data, (0, len(data)), found):
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


def _scan_graph(data: Data, span: Span, found: Structure) -> None:
    for number, value in fields(data, span, found):
        match number, value:
            case 1, (_, _):
                _scan_node(data, value, found)
            case 5, (_, _):
                _scan_tensor(data, value, found)
            case 15, _:
                raise ModelError("the model holds sparse weights, which are not allowed")


def _scan_node(data: Data, span: Span, found: Structure) -> None:
    for number, value in fields(data, span, found):
        match number, value:
            case 4, (_, _):
                operator = _name(data, value).decode()
                if operator not in ALLOWED_OPS:
                    raise ModelError(f"the model uses the operator {operator!r}, which is not allowed")
                found.operators.add(operator)
            case 5, (_, _):
                _scan_attribute(data, value, found)
            case 7, (start, end) if end > start:
                domain = _name(data, value).decode()
                raise ModelError(f"the model uses operators of {domain!r}; only standard ones are allowed")


def _scan_attribute(data: Data, span: Span, found: Structure) -> None:
    for number, value in fields(data, span, found):
        match number, value:
            case ((5 | 10), (_, _)):
                _scan_tensor(data, value, found)
            case ((6 | 11 | 22 | 23), _):
                raise ModelError("the model holds an inner graph or sparse weights, which are not allowed")


def _scan_tensor(data: Data, span: Span, found: Structure) -> None:
    for number, value in fields(data, span, found):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise ModelError("the model keeps weights in another file; an onlygood model is one file")


def _scan_opset(data: Data, span: Span, found: Structure) -> None:
    domain, version = b"", 0
    for number, value in fields(data, span, found):
        match number, value:
            case 1, (_, _):
                domain = _name(data, value)
            case 2, int():
                version = value
    if domain in (b"", b"ai.onnx"):
        found.opset = version


def _scan_property(data: Data, span: Span, found: Structure) -> None:
    key, content = b"", (0, 0)
    for number, value in fields(data, span, found):
        match number, value:
            case 1, (start, end):
                key = data[start : min(end, start + _LONGEST_NAME)]
            case 2, (_, _):
                content = value
    if key == METADATA_KEY.encode():
        if content[1] - content[0] > LARGEST_METADATA:
            raise ModelError(f"the metadata are larger than {LARGEST_METADATA >> 20} MiB")
        if found.metadata is not None:
            raise ModelError("the model holds onlygood metadata twice")
        found.metadata, found.entry = content, span


def fields(data: Data, span: Span, found: Structure) -> Iterator[tuple[int, int | Span]]:
    """The fields of the message in ``span``: integers as their value, everything else as its span."""
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
        found.fields += 1
        if found.fields > _MOST_FIELDS:
            raise ModelError(f"the model has more than {_MOST_FIELDS:,} parts, which no detector has")
        yield number, value


def _name(data: Data, span: Span) -> bytes:
    """A short text, such as an operator's name."""
    start, end = span
    if end - start > _LONGEST_NAME:
        raise ModelError(_NOT_ONNX)
    return data[start:end]


def _varint(data: Data, at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where the next thing starts."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ModelError(_NOT_ONNX)
