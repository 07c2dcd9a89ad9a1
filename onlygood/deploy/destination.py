"""Where rows go: stdout, a device, or a file that is there whole or not at all."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def destination(output: Path | None, format: str, *, append: bool) -> Iterator[TextIO]:
    """The stream for rows: stdout, a file to append to, or one that appears only once complete."""
    errors = "backslashreplace" if format == "text" else "surrogateescape"
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors=errors, newline="")
        yield sys.stdout
        return
    target = output.resolve()  # of a link, the file
    special = target.exists() and not target.is_file()  # /dev/stdout, a pipe
    if append or special:
        with target.open("a", encoding="utf-8", errors=errors, newline="") as stream:
            yield stream
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors=errors, newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
