"""What machine this is, as far as speed depends on it."""

import os
import platform
import re
from pathlib import Path
from typing import Self

from pydantic import Field

from onlygood.runtime.model.session import import_onnxruntime
from onlygood.runtime.strict import Strict
from onlygood.runtime.threads import available_cpus, available_memory

_CPUINFO, _BOARD = Path("/proc/cpuinfo"), Path("/proc/device-tree/model")
_SAME = ("processor", "architecture", "cpus", "onnxruntime")  # what makes it another machine


class Machine(Strict):
    """A machine, as a file names the one that it was measured on."""

    processor: str = Field(max_length=1000)
    architecture: str = Field(max_length=100)
    cpus: int = Field(ge=1)  # that this process may use
    memory_mb: int | None = None  # that it may use, where that is known
    system: str = Field(max_length=200)
    python: str = Field(max_length=100)
    onnxruntime: str = Field(max_length=100)

    @classmethod
    def here(cls) -> Self:
        """This one."""
        memory = available_memory()
        return cls(
            processor=processor()[:1000],
            architecture=platform.machine()[:100],
            cpus=available_cpus(),
            memory_mb=None if memory is None else memory // 10**6,
            system=f"{platform.system()} {platform.release()}"[:200],
            python=platform.python_version(),
            onnxruntime=str(import_onnxruntime().__version__),
        )

    def differences(self, here: "Machine") -> str:
        """What of it is otherwise ``here``, in words; "" for the same machine, or one like it."""
        return ", ".join(
            f"{name} {getattr(self, name)}, here {getattr(here, name)}"
            for name in _SAME
            if getattr(self, name) != getattr(here, name)
        )


def processor(cpuinfo: Path = _CPUINFO, board: Path = _BOARD) -> str:
    """The name of the board where it has one (Raspberry Pi, Jetson), else of the processor."""
    for path, pattern in ((board, r"(?s)(.+)"), (cpuinfo, r"(?m)^model name\s*:\s*(.+)$")):
        try:
            found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace").rstrip("\0\n"))
        except OSError:
            continue
        if found:
            return " ".join(found[1].split())
    return platform.processor() or "unknown"


def load() -> float | None:
    """How many processes ran or waited in the last minute; None where nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
