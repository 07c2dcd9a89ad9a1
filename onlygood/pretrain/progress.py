"""The progress bar of everything that takes long: reading, training, scoring."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class Bar:
    """A bar on stderr, if that is a terminal; a context manager.

    Args:
        title: what goes on, such as "decoding".
        total: steps of the whole work; None where it is not known yet.
        shown: False shows nothing on a terminal either.
        counted: show the steps; else the share that is done.
    """

    def __init__(
        self, title: str, total: float | None = None, *, shown: bool = True, counted: bool = True
    ) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn() if counted else TaskProgressColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=4,
            disable=not (shown and sys.stderr.isatty()),
        )
        self._task = self._progress.add_task(title, total=total, status="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def move(self, done: float, total: float | None = None) -> None:
        """Show that ``done`` steps are done, and of how many, where that is news."""
        self._progress.update(self._task, completed=done, total=total)

    def advance(self, total: float | None = None) -> None:
        """Show that one more step is done."""
        self._progress.update(self._task, advance=1, total=total)

    def say(self, status: str) -> None:
        """Show a few words beside the bar."""
        self._progress.update(self._task, status=status)
