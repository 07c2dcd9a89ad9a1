"""What `report` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    Key,
    MaxMemory,
    Model,
    Options,
    Quiet,
    Rate,
    Seed,
    Sha256,
    Threads,
    Workers,
)


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Write one page to look at: scores, heatmaps, a threshold to try; it opens from the disk."""

    model: Model
    paths: Annotated[
        list[Path],
        Argument(metavar="PATH...", help="Images, folders, data sets with labels, and CSV lists."),
    ]
    output: Annotated[Path, Option("-o", "--output", metavar="HTML", help="Page to write.")] = Path(
        "report.html"
    )
    max_false_alarms: Rate = None
    workers: Workers = None
    threads: Threads = None
    max_memory: MaxMemory = None
    sha256: Sha256 = None
    key: Key = None
    seed: Seed = 0
    quiet: Quiet = False
