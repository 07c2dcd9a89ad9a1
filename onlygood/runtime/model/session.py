"""onnxruntime without telemetry, busy waiting and its own log, and with readable errors."""

import os
import re
from functools import cache
from typing import Any

from onlygood.runtime.errors import ModelError
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.threads import available_memory

_FATAL = 4  # lesser errors are raised, and our message is one line
_LONGEST = 300  # characters of a reason
# Such as "[ONNXRuntimeError] : 1 : FAIL : /src/core/model.cc:256 onnxruntime::Model::Model(ModelProto&&) "
_TAG = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_PLACE = re.compile(r"\S{1,200}\.(?:cc|cpp|cu|h):\d+ (?:[\w:<>*&~ ]+\((?:[^()]|\([^()]*\))*\) )?")
_TOO_NEW = re.compile(r"(IR) version: (\d+), max supported IR version: (\d+)")
_TOO_MUCH = re.compile(r"Available memory of \d+ is smaller than requested bytes of (\d+)")
_MEMORY_SHARE = 0.75  # of the machine's memory, which all models of a process may take together
_TOO_NEW_OPSET = re.compile(r"(Opset) (\d+) is under development.* is till opset (\d+)")


def in_words(error: Exception) -> str:
    """An error of onnxruntime as one printable line, without file names; its end, which says most, stays."""
    text = " ".join(str(error)[:20_000].split())
    if newer := _TOO_NEW.search(text) or _TOO_NEW_OPSET.search(text):
        what, needed, known = newer.groups()
        return (
            f"the file is of ONNX {what} version {needed} and this onnxruntime knows {known} at most:"
            " upgrade onnxruntime"
        )
    if more := _TOO_MUCH.search(text):
        return (
            f"it asks for {int(more[1]):,} bytes at once, more than are left of {_MEMORY_SHARE:.0%} of the"
            " machine's memory: use a smaller model, or a machine with more memory"
        )
    text = _PLACE.sub("", _TAG.sub("", text))
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 3]} … {text[-_LONGEST * 2 // 3 :]}"
    return text or type(error).__name__


def import_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off: its wheels ship it on, and write a device id under HOME."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415 - must follow the line above

    onnxruntime.set_default_logger_severity(_FATAL)
    return onnxruntime


@cache
def _limit_memory() -> None:
    """Give all sessions of this process one allocator with a limit, so that no model ends it or the machine.

    Without it, an operator that asks for 40 GB gets them where the system promises more than it has.
    """
    memory = available_memory()
    if memory is None:
        return
    ort = import_onnxruntime()
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    grow_twofold = 0  # as sessions of their own do
    arena = ort.OrtArenaCfg(int(_MEMORY_SHARE * memory), grow_twofold, -1, -1)
    ort.create_and_register_allocator(place, arena)


def available_providers() -> list[str]:
    """Short names of the execution providers that this onnxruntime was built with."""
    return list(_providers(import_onnxruntime()))


def _providers(ort: Any) -> dict[str, str]:
    """Execution providers: "cpu" for "CPUExecutionProvider", and so on."""
    return {name.removesuffix("ExecutionProvider").lower(): name for name in ort.get_available_providers()}


def open_session(data: bytes, *, threads: int = 1, provider: str = "cpu", optimize: bool = True) -> Any:
    """An onnxruntime session over the model in ``data``.

    Without ``optimize`` each node runs as it stands, quantized ones in float.

    Raises:
        ModelError: the model cannot be loaded, or the execution provider is missing or does not start.
    """
    ort = import_onnxruntime()
    providers = _providers(ort)
    wanted = providers.get(provider.lower())
    if wanted is None:
        raise ModelError(f"no execution provider {provider!r} here; available: {', '.join(providers)}")
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads sleep: 3 % slower, and an idle camera burns no CPU.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _FATAL
    _limit_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # It computes constants in memory without a limit. Our models score the same and as fast without it.
    options.add_session_config_entry("optimization.disable_specified_optimizers", "ConstantFolding")
    try:
        # Its fall-back prints on stdout, among the rows, and tries the same again.
        session = ort.InferenceSession(data, options, providers=[wanted], enable_fallback=0)
    except Exception as error:  # onnxruntime's classes share no base but this
        raise ModelError(f"onnxruntime cannot load the model: {in_words(error)}") from error
    if (active := session.get_providers()[0]) != wanted:
        raise ModelError(f"the execution provider {provider!r} did not start; {active} would run instead")
    return session


def check_signature(session: Any, metadata: Metadata) -> None:
    """Check that inputs and outputs have the names, types and sizes that the metadata give.

    Raises:
        ModelError: they do not.
    """
    spec = metadata.input
    images = ("images", "tensor(uint8)", [spec.height, spec.width, spec.channels])
    outputs = [("score", "tensor(float)", []), ("heatmap", "tensor(float)", list(metadata.heatmap))]
    try:
        takes, gives = _signature(session.get_inputs()), _signature(session.get_outputs())
    except UnicodeDecodeError:
        raise ModelError("the graph has inputs or outputs whose names are no text in UTF-8") from None
    if takes != [images] or gives != outputs:
        raise ModelError(
            f"the graph maps {takes} to {gives} where the metadata promise {[images]} to {outputs}"
        )


def _signature(values: Any) -> list[tuple[str, str, list[Any]]]:
    """Name, type, and shape without the batch dimension, of a session's inputs or outputs."""
    return [(value.name, value.type, list(value.shape[1:])) for value in values]
