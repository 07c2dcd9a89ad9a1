"""What `camera` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    AnyFrame,
    AppendedRows,
    Key,
    Model,
    Options,
    Provider,
    Quiet,
    Rate,
    Sha256,
    Threads,
    Threshold,
    Tuned,
    number,
)


@dataclass(frozen=True, kw_only=True)
class CameraOptions(Options):
    """Judge frames of a camera, a stream or a recording: one JSON row each."""

    model: Model
    source: Annotated[
        str,
        Argument(
            metavar="SOURCE", help="Number or path of a device, an address (rtsp://…), or a video file."
        ),
    ]
    every: Annotated[
        float,
        Option(
            "--every",
            metavar="SECONDS",
            callback=number(above=-1e-9, most=86400),
            help="One frame in so many seconds. Default: the newest, again and again; of a file all.",
        ),
    ] = 0.0
    on_line: Annotated[
        bool,
        Option(
            "--on-line", help="One frame for each line on stdin, which stands in its row: a part's number."
        ),
    ] = False
    count: Annotated[
        int | None, Option("--count", min=1, max=2**31 - 1, help="Leave after so many verdicts.")
    ] = None
    patience: Annotated[
        float,
        Option(
            "--patience",
            metavar="SECONDS",
            callback=number(above=0, most=86400),
            help="Without a frame for so long, a row of status error says so.",
        ),
    ] = 5.0
    output: AppendedRows = None
    save_flagged: Annotated[
        Path | None,
        Option("--save-flagged", metavar="DIR", help="Write anomalous and unusable frames here, as PNG."),
    ] = None
    threshold: Threshold = None
    max_false_alarms: Rate = None
    threads: Threads = None
    provider: Provider = None
    tuned: Tuned = None
    any_frame: AnyFrame = False
    sha256: Sha256 = None
    key: Key = None
    quiet: Quiet = False
