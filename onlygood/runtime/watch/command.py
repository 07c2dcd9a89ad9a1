"""A command that is run for each verdict: its arguments are passed as they are, and no shell sees them."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.watch.courier import Refused, Unreachable
from onlygood.runtime.watch.state import Entry

_TIMEOUT = 60  # seconds
_FIELDS = ("path", "status", "score", "p_value", "id")


class Command:
    """Runs ``words`` once a verdict; exit code 0 says that it has arrived.

    In each argument ``{path}``, ``{status}``, ``{score}``, ``{p_value}`` and ``{id}`` are replaced; if there
    is none of them, the path is the last argument. The path is absolute, so that no name is taken for an
    option, and is where the image lies after ``--move-flagged``.
    The verdict as JSON is on the command's standard input; what it prints goes to our stderr.

    Raises:
        OnlygoodError: there is no such command.
    """

    name = "exec"

    def __init__(self, words: str) -> None:
        try:
            self._words = shlex.split(words)
        except ValueError as error:
            raise OnlygoodError(f"--exec: {error}: {words}") from None
        if not self._words or shutil.which(self._words[0]) is None:
            raise OnlygoodError(
                f"--exec: no command {self._words[0] if self._words else ''!r} that can be run"
            )
        if not any(f"{{{field}}}" in word for word in self._words[1:] for field in _FIELDS):
            self._words.append("{path}")

    def arguments(self, verdict: dict[str, object]) -> list[str]:
        """What is run for a verdict."""
        values = {field: "" if verdict.get(field) is None else str(verdict[field]) for field in _FIELDS}
        where = str(verdict.get("moved_to") or verdict["path"])
        values["path"] = os.path.abspath(where)  # noqa: PTH100 - bytes and links stay as they are
        return [self._words[0], *(_filled(word, values) for word in self._words[1:])]

    def send(self, entry: Entry) -> None:
        """Run the command and wait for it.

        Raises:
            Unreachable: it cannot be run.
            Refused: it failed, or took too long and was killed.
        """
        words = self.arguments(json.loads(entry.body))
        try:
            child = subprocess.Popen(  # noqa: S603 - the user's own command, and no shell
                words, stdin=subprocess.PIPE, stdout=sys.__stderr__, start_new_session=True
            )
        except OSError as error:
            raise Unreachable(f"{words[0]} cannot be run: {error.strerror or error}") from None
        try:
            child.communicate(entry.body.encode() + b"\n", timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            _kill(child)
            raise Refused(f"{words[0]} was killed after {_TIMEOUT} seconds") from None
        if child.returncode:
            raise Refused(f"{words[0]} ended with {child.returncode}")

    def close(self) -> None:
        """Nothing is kept open."""


def _filled(word: str, values: dict[str, str]) -> str:
    """``word`` with its fields replaced, each once: what a name holds is not looked into again."""
    pieces = word.split("{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        field, brace, rest = piece.partition("}")
        filled.append(values[field] + rest if brace and field in values else "{" + piece)
    return "".join(filled)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a command and what it started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.communicate()
