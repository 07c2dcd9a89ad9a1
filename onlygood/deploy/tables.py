"""Tables on stdout."""

import sys
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def stdout(width: int | None = None) -> Console:
    """Prints names as they are; ``width`` is the terminal's where nothing is said."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False, width=width)


def table(words: Iterable[str], numbers: Iterable[str], *, least: int | None = None) -> Table:
    """A table without rows: columns of words at least ``least`` wide, which wrap, then columns of numbers."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in words:
        made.add_column(name, overflow="fold", min_width=least)
    for name in numbers:
        made.add_column(name, justify="right", no_wrap=True)
    return made
