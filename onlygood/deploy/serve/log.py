"""The log of the service: one JSON object a line on stderr."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from onlygood.runtime import jsontext

_LONGEST = 2000  # characters of a text that a client may have chosen


class Log:
    """Writes what happened: ``time``, ``level``, ``event``, and what belongs to it."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None:
        """Write one line; with ``quiet`` only what is wrong."""
        if self._quiet and level == "info":
            return
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
        for name, value in fields.items():
            entry[name] = value[:_LONGEST] if isinstance(value, str) and name != "trace" else value
        stream = self._stream or sys.stderr
        stream.write(jsontext.dumps(entry) + "\n")  # one write, so that lines of threads do not mix
        stream.flush()

    def fault(self, error: BaseException, **fields: Any) -> None:
        """Write an error that nobody foresaw, with where it came from."""
        trace = "".join(traceback.format_exception(error))
        self("fault", "error", error=f"{type(error).__name__}: {error}", trace=trace, **fields)


class Handler(logging.Handler):
    """What uvicorn and asyncio say, as lines of the same log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._log.fault(error, message=record.getMessage())
        else:
            self._log("server", record.levelname.lower(), message=record.getMessage())


def log_of_libraries(log: Log) -> None:
    """Let what uvicorn and asyncio say be lines of the same log."""
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [Handler(log)], False
