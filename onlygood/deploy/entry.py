"""Where the process begins and ends: streams that may be closed or full, signals, and the exit code.

1 means "anomalies found" and nothing else, whatever goes wrong: so what Python or a library would end with 1
or 120 ends with 2 here. Nothing of ours is imported before the guard stands.
"""

import contextlib
import gc
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

FAULT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended
REPORT = "this is a fault in onlygood, not in what you gave it; please report it with the lines above"


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: like an interrupt it unwinds the stack, so that temporary files are removed."""

    came: int | None = None  # code of the first; typer takes it for an interrupt while it reads the line

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.code = 128 + number
        Terminated.came = Terminated.came or self.code


def main() -> NoReturn:
    """Entry point of the console script and of ``python -m onlygood``."""
    _mend_streams()
    _listen()
    # We use none, and looking for them reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = _settled(_guarded(lambda: importlib.import_module("onlygood.deploy.cli").invoke()))
    if "torch" not in sys.modules:  # whose bindings report what is not collected as leaks
        gc.freeze()  # what is left goes with the process: collecting it takes as long as importing numpy
    sys.exit(code)


def _guarded(work: Callable[[], Any]) -> int:
    """The exit code of ``work``, also of one that fails in a way that nobody foresaw."""
    try:
        code = work()
    except Terminated as stopped:
        return stopped.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as left:  # before a command runs: a reader of the help has left, or a shell completes
        return BROKEN_PIPE if isinstance(left.__context__, BrokenPipeError) else _code(left)
    except OSError as error:  # of the help, which is printed before any command; those say more
        print(f"onlygood: stdout: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return FAULT
    except BaseException as error:
        if callable(show := getattr(error, "show", None)):  # usage; click's and typer's errors share no more
            show()
        else:
            traceback.print_exc()
            print(f"onlygood: {REPORT}", file=sys.stderr)  # noqa: T201
        return FAULT
    if code == INTERRUPTED:
        code = Terminated.came or code
    return code if isinstance(code, int) else 0


def _code(left: SystemExit) -> int:
    return left.code if isinstance(left.code, int) else FAULT


def _settled(code: int) -> int:
    """The exit code once the last of stdout is out, or 2 if it never will be."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
    except (OSError, ValueError) as error:
        if code != FAULT:  # else it was said
            reason = getattr(error, "strerror", None) or str(error)
            print(f"onlygood: stdout: {reason}", file=sys.stderr)  # noqa: T201
        code = FAULT
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush at exit
    return code


# --- signals


def _listen() -> None:
    """Unwind on SIGTERM and SIGHUP; a program that was told to ignore them (``nohup``) goes on doing so."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


# --- streams


class _Forgiving(io.FileIO):
    """Words that cannot be written are lost: they must not cost the results, nor change the exit code."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


def _mend_streams() -> None:
    """Put something behind streams that were closed, and let stderr forgive.

    Otherwise the first files that are opened become 0, 1 and 2, and what a library prints lands in them. The
    stand-ins of stdin and stdout are opened the wrong way round: using them is an error, as it should be.
    """
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_WRONLY), closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    number = os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
    raw = _Forgiving(number, "w", closefd=False)
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=True
    )
