"""What the commands take that write a row for each image: `score` and `check`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    AnyFrame,
    BitDepth,
    Drift,
    DriftFlagged,
    Engine,
    EngineName,
    Exclude,
    Ignore,
    Key,
    MaxMemory,
    MaxPixels,
    Model,
    NoRecursive,
    Options,
    Provider,
    Quiet,
    Rate,
    RayAddress,
    Roi,
    Sha256,
    Threads,
    Threshold,
    Tuned,
    Workers,
    number,
)


class RowFormat(StrEnum):
    """How rows are written; ``auto`` is text on a terminal, else by the output's suffix, else csv."""

    AUTO = "auto"
    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"
    PARQUET = "parquet"


class OnError(StrEnum):
    """What an unreadable image does to the exit code."""

    FAIL = "fail"
    SKIP = "skip"


class Color(StrEnum):
    """When text is colored."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(Options):
    """Score images: one row each on stdout."""

    judge: ClassVar[bool] = False  # leave normal images out, and let anomalies make the exit code 1

    model: Model
    paths: Annotated[
        list[Path] | None,
        Argument(metavar="PATH", help="Images and folders; - reads a list of paths from stdin."),
    ] = None
    format: Annotated[
        RowFormat,
        Option("-f", "--format", help="auto: table on a terminal, else by the suffix of -o, else csv."),
    ] = RowFormat.AUTO
    output: Annotated[
        Path | None, Option("-o", "--output", help="Write rows to this file, which appears once complete.")
    ] = None
    spreadsheet_safe: Annotated[
        bool,
        Option(
            "--spreadsheet-safe",
            help="CSV: put a ' before names that begin with = + - @, which spreadsheets run as formulas.",
        ),
    ] = False
    resume: Annotated[
        bool, Option("--resume", help="Go on with the JSONL file of -o, which gets a row for every image.")
    ] = False
    threshold: Threshold = None
    max_false_alarms: Rate = None
    files_from: Annotated[
        Path | None,
        Option("--files-from", metavar="FILE", help="Read a list of paths from a file; - is stdin."),
    ] = None
    null: Annotated[
        bool, Option("-0", "--null", help="Paths in lists end with a null byte, not a newline.")
    ] = False
    no_recursive: NoRecursive = False
    follow_symlinks: Annotated[bool, Option("--follow-symlinks", help="Enter linked folders.")] = False
    exclude: Exclude = None
    max_pixels: MaxPixels = None
    max_memory: MaxMemory = None
    bit_depth: BitDepth = None
    on_error: Annotated[
        OnError, Option("--on-error", help="Whether an unreadable image makes the exit code 2.")
    ] = OnError.FAIL
    workers: Workers = None
    threads: Threads = None
    provider: Provider = None
    tuned: Tuned = None
    engine: EngineName = Engine.LOCAL
    ray_address: RayAddress = None
    any_frame: AnyFrame = False
    drift: Drift = False
    drift_flagged: DriftFlagged = 0.1
    copy_flagged: Annotated[
        Path | None,
        Option("--copy-flagged", metavar="DIR", help="Copy anomalous and unusable images here."),
    ] = None
    heatmaps: Annotated[
        Path | None,
        Option("--heatmaps", metavar="DIR", help="Write heatmaps here: PNG over the image, .npy as it is."),
    ] = None
    boxes: Annotated[
        bool, Option("--boxes", help="JSON: say where anomalous regions are, in pixels of the file.")
    ] = False
    preview: Annotated[bool, Option("--preview", help="Draw thumbnails with their heat in the terminal.")] = (
        False
    )
    parts: Annotated[
        str | None,
        Option("--parts", metavar="REGEX", help="One verdict a part: what in an image's path names it."),
    ] = None
    route: Annotated[
        str | None,
        Option(
            "--route",
            metavar="folder|CSV",
            help="MODEL is a folder of models: the image's folder names its own, or a list (path,model).",
        ),
    ] = None
    tile: Annotated[
        str | None,
        Option("--tile", metavar="PX|model", help="Judge tiles this wide; model: the size of its input."),
    ] = None
    overlap: Annotated[
        float,
        Option("--overlap", callback=number(most=0.9), help="Share of a side that neighboring tiles share."),
    ] = 0.25
    roi: Roi = None
    ignore: Ignore = None
    sha256: Sha256 = None
    key: Key = None
    color: Annotated[Color, Option("--color", help="Color of text; auto honors NO_COLOR.")] = Color.AUTO
    quiet: Quiet = False
    verbose: Annotated[
        bool, Option("-v", "--verbose", help="Say on stderr how it runs and what images had.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class CheckOptions(ScoreOptions):
    """Judge images: print those that are not normal; exit with 1 if any is anomalous."""

    judge: ClassVar[bool] = True

    exit_zero: Annotated[bool, Option("--exit-zero", help="Exit with 0 though anomalies were found.")] = False
