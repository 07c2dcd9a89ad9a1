"""What commands say on stderr while they run."""

import sys
from collections.abc import Callable
from time import perf_counter

import typer

from onlygood.runtime.images.files import Findings, printable
from onlygood.runtime.images.notes import NoteCounts
from onlygood.runtime.rows.verdicts import Counts, Row


def speaker(*, quiet: bool) -> Callable[[str], None]:
    """A function that says a line on stderr, or nothing at all."""

    def say(words: str) -> None:
        if not quiet:
            typer.echo(words, err=True)

    return say


class Messages:
    """Words on stderr: progress on a terminal, unreadable images, details on demand, and the summary."""

    def __init__(
        self, *, quiet: bool, verbose: bool, rows_on_terminal: bool, rows_make_room: bool = False
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._rows_on_terminal = rows_on_terminal
        self._make_room = rows_make_room  # rows clear the line of progress, which is shown again below them
        self._progress = sys.stderr.isatty() and (rows_make_room or not rows_on_terminal) and not quiet
        self._start = perf_counter()
        self._shown = 0.0
        self._notes = NoteCounts()

    @property
    def progress(self) -> bool:
        """Whether counts stand in the last line of the terminal."""
        return self._progress

    def detail(self, text: str) -> None:
        """Print a line if --verbose."""
        if self._verbose:
            self._print(text)

    def note(self, text: str) -> None:
        """Print a line unless --quiet."""
        if not self._quiet:
            self._print(text)

    def row(self, row: Row, counts: Counts) -> None:
        """Say what is wrong with an image and what its reader noted, and how far we are."""
        if row.error and not self._quiet and not self._rows_on_terminal:
            self._print(f"{printable(row.path)}: {printable(row.error)}")
        for note in row.notes:
            first = self._notes.add(note)
            if self._verbose or (first and not self._quiet and not self._rows_on_terminal):
                self._print(f"{printable(row.path)}: {printable(note)}")
        if self._progress and (self._make_room or perf_counter() - self._shown > 0.2):
            self._shown = perf_counter()
            typer.echo(f"\r\x1b[K{counts}", nl=False, err=True)

    def summary(self, counts: Counts) -> None:
        """Say in the end how many images had what, and how fast it went."""
        if self._quiet or not counts.images:
            return
        for line in self._notes.lines():
            self._print(printable(line))
        if counts.earlier:
            self._print(f"{counts.earlier} of these images were scored by an earlier run")
        seconds = perf_counter() - self._start
        rate = (counts.images - counts.earlier) / seconds
        unit = "img" if counts.unit == "image" else f"{counts.unit}s"
        self._print(f"{counts} in {seconds:.1f} s ({rate:.0f} {unit}/s)")

    def findings(self, findings: Findings) -> None:
        """Name the folders that were passed over and, however quiet, those asked for that hold no image."""
        if not self._quiet and (others := findings.left_alone()):
            self._print(printable(others))
        for folder in findings.ours if not self._quiet else ():
            self._print(f"{printable(folder)}: passed over, onlygood wrote it; name it to have it read")
        for folder in findings.empty:
            self._print(f"{printable(folder)}: no images in this folder")

    def _print(self, text: str) -> None:
        typer.echo(f"\r\x1b[K{text}" if self._progress else text, err=True)
