"""Where results go: checked before any work is done, and there whole or not at all."""

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from onlygood.runtime.atomic import replacing
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display

Some = TypeVar("Some", bound=os.PathLike[str])
_DESCRIPTOR = re.compile(r"/dev/std(?:out|err)|(?:/dev|/proc/self)/fd/\d+")


def check_output(
    output: Path,
    *,
    inputs: Iterable[Path] = (),
    device: bool = False,
    make_folders: bool = False,
    pictures: Sequence[str] = (),
) -> None:
    """Refuse, before any work is done, a file that cannot be written, or that is read.

    Args:
        output: what ``-o`` names.
        inputs: files that the command reads; some may be missing.
        device: whether pipes and devices may be written to.
        make_folders: whether the command makes the folders that are missing on the way to it.
        pictures: endings of the pictures that the command can draw, in lower case.

    Raises:
        OnlygoodError: the file cannot be written, is an input, or names another kind of picture; the message
            says why.
    """
    name = display(output)
    if pictures and output.suffix.lower() not in pictures:
        *others, last = pictures
        known = f"{', '.join(others)} or {last}" if others else last
        raise OnlygoodError(f"{name}: the picture's name ends in {known}")
    if _DESCRIPTOR.fullmatch(str(output)) and device:
        return
    try:
        there = output.exists()
        if output.is_dir():
            raise OnlygoodError(f"{name} is a folder; name a file in it")
        if there and not output.is_file():
            if device:
                return
            raise OnlygoodError(f"{name} is not a regular file")
    except OSError as error:  # a name that is too long
        raise OnlygoodError(f"{name}: cannot be written: {error.strerror}") from None
    if there:
        if not os.access(output, os.W_OK):
            raise OnlygoodError(f"{name} is write-protected")
        check_not_among(output, inputs)
    folder = output.resolve().parent
    if not folder.is_dir() and not make_folders:
        raise OnlygoodError(f"{name}: there is no folder {display(folder)}")
    _check_writable(folder, name)


def check_folder(output: Path) -> None:
    """Refuse, before any work is done, a folder that cannot be made or written into.

    Raises:
        OnlygoodError: why not.
    """
    if output.exists() and not output.is_dir():
        raise OnlygoodError(f"{display(output)} is a file; name a folder")
    _check_writable(output.resolve(), display(output))


def work_folder(output: Path, work: Path | None, inputs: Iterable[Path]) -> Path:
    """The folder of a training: ``work``, or else the one beside ``output``.

    Raises:
        OnlygoodError: the folder or ``output`` cannot be written, or ``output`` is one of the ``inputs``.
    """
    check_output(output, inputs=inputs, make_folders=True)
    folder = work or output.with_suffix(".work")
    check_folder(folder)
    return folder


def check_not_among(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an existing file that is read too, by whatever name.

    Raises:
        OnlygoodError: ``output`` is one of the ``inputs``.
    """
    for _ in passed_on(inputs, output):
        pass


def passed_on(inputs: Iterable[Some], output: Path | None) -> Iterator[Some]:
    """The ``inputs`` one by one.

    Raises:
        OnlygoodError: one is ``output``, which exists.
    """
    target = _identity(output) if output is not None else None
    for path in inputs:
        if target is not None and isinstance(path, Path) and _identity(path) == target:
            raise OnlygoodError(f"{display(path)} is read, and -o would overwrite it: give another -o")
        yield path


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a regular file, which are the same under all its names; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if path.is_file() else None


def _check_writable(folder: Path, name: str) -> None:
    """Write a file there: permissions do not tell of read-only disks, nor of root.

    Raises:
        OnlygoodError: nothing can be written there.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OnlygoodError(
            f"{name}: nothing can be written in {display(folder)}: {error.strerror or error}"
        ) from None


@contextmanager
def destination(output: Path | None, format: str) -> Iterator[TextIO]:
    """The stream for rows: stdout, a pipe or device, or a file that appears only once complete."""
    errors = "backslashreplace" if format == "text" else "surrogateescape"
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors=errors, newline="")
        yield sys.stdout
        return
    try:
        if (descriptor := _descriptor(output)) is not None:  # not resolved: it leads to "pipe:[4026]"
            with open(os.dup(descriptor), "w", encoding="utf-8", errors=errors, newline="") as stream:  # noqa: PTH123
                yield stream
            return
        if output.exists() and not output.is_file():
            with output.open("w", encoding="utf-8", errors=errors, newline="") as stream:
                yield stream
            return
        target = output.resolve()  # of a link, the file
        with (
            replacing(target) as temporary,
            temporary.open("w", encoding="utf-8", errors=errors, newline="") as stream,
        ):
            yield stream
    except OSError as error:
        if error.filename is None and not isinstance(error, BrokenPipeError):
            error.filename = str(output)  # else nobody knows which of the files is meant
        raise


def _descriptor(output: Path) -> int | None:
    """The number of the open file that ``/dev/stdout``, ``/dev/fd/63`` (of ``>(gzip)``) and such mean."""
    if not _DESCRIPTOR.fullmatch(str(output)):
        return None
    return {"stdout": 1, "stderr": 2}.get(output.name) or int(output.name)
