"""The command line's options, each declared once and shared by the commands that have it."""

from collections.abc import Callable
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option

from onlygood.runtime.limits import (
    LARGEST_IMAGE,
    LARGEST_SEED,
    MOST_MEMORY,
    MOST_MINUTES,
    MOST_STEPS,
    MOST_THREADS,
    SMALLEST_RATE,
)


def _number(
    above: float | None = None, below: float | None = None, most: float | None = None
) -> Callable[[float | None], float | None]:
    """A check for an option: a finite number, and within these limits. click's own let NaN through."""
    words = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("below", below), ("at most", most))
        if limit is not None
    ]
    wanted = f"a number {' and '.join(words)}" if words else "a finite number"

    def check(value: float | None) -> float | None:
        if value is None:
            return None
        if (
            not isfinite(value)
            or (above is not None and value <= above)
            or (below is not None and value >= below)
            or (most is not None and value > most)
        ):
            raise BadParameter(f"{value:g} is not {wanted}")
        return value

    return check


class RowFormat(StrEnum):
    """How rows are written; ``auto`` is text on a terminal, else by the output's suffix, else csv."""

    AUTO = "auto"
    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"


class MetricsFormat(StrEnum):
    """How `evaluate` prints its results."""

    TEXT = "text"
    JSON = "json"


class OnError(StrEnum):
    """What an unreadable image does to the exit code."""

    FAIL = "fail"
    SKIP = "skip"


class Color(StrEnum):
    """When text is coloured."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


Model = Annotated[Path, Argument(metavar="MODEL", help="Model file (.onnx) that `onlygood fit` wrote.")]
Rate = Annotated[
    float | None,
    Option(
        "--max-false-alarms",
        metavar="RATE",
        callback=_number(above=SMALLEST_RATE, below=1),
        help="Highest rate of false alarms on good images, e.g. 0.01. Default: the recipe's or the model's.",
    ),
]
Sha256 = Annotated[
    str | None, Option("--sha256", metavar="HEX", help="Refuse the model unless its SHA-256 is this.")
]
Threads = Annotated[int, Option("--threads", min=1, max=MOST_THREADS, help="Threads of one inference.")]
Provider = Annotated[str, Option("--provider", help="onnxruntime execution provider; `info` lists yours.")]
Quiet = Annotated[bool, Option("-q", "--quiet", help="No progress and no summary on stderr.")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]

# Rows of score and check
Images = Annotated[
    list[Path] | None,
    Argument(metavar="PATH", help="Images and folders; - reads a list of paths from stdin."),
]
Rows = Annotated[
    RowFormat,
    Option("-f", "--format", help="auto: table on a terminal, else by the suffix of -o, else csv."),
]
RowsOutput = Annotated[
    Path | None, Option("-o", "--output", help="Write rows to this file, which appears once complete.")
]
SpreadsheetSafe = Annotated[
    bool,
    Option(
        "--spreadsheet-safe",
        help="CSV: put a ' before names that begin with = + - @, which spreadsheets run as formulas.",
    ),
]
ResumeRows = Annotated[
    bool, Option("--resume", help="Go on with the JSONL file of -o, which gets a row for every image.")
]
Threshold = Annotated[
    float | None,
    Option("--threshold", metavar="SCORE", callback=_number(), help="Flag scores above this."),
]
FilesFrom = Annotated[
    Path | None, Option("--files-from", metavar="FILE", help="Read a list of paths from a file; - is stdin.")
]
Null = Annotated[bool, Option("-0", "--null", help="Paths in lists end with a null byte, not a newline.")]
NoRecursive = Annotated[bool, Option("--no-recursive", help="Leave folders inside folders alone.")]
FollowSymlinks = Annotated[bool, Option("--follow-symlinks", help="Enter linked folders.")]
Exclude = Annotated[
    list[str] | None, Option("--exclude", metavar="GLOB", help="Leave matching names alone; repeatable.")
]
MaxPixels = Annotated[
    int | None,
    Option(
        "--max-pixels",
        min=1,
        max=LARGEST_IMAGE,
        help="Refuse larger images unread. Default: 100 million.",
    ),
]
MaxMemory = Annotated[
    int | None,
    Option(
        "--max-memory",
        min=1,
        max=MOST_MEMORY,
        metavar="MB",
        help="Decode fewer large images at once to stay within this. Default: 2000.",
    ),
]
BitDepth = Annotated[
    int | None,
    Option(
        "--bit-depth",
        metavar="8|10|12|14|16",
        help="Depth of 16-bit images that do not say their own. Default: the model's.",
    ),
]
ErrorPolicy = Annotated[
    OnError, Option("--on-error", help="Whether an unreadable image makes the exit code 2.")
]
Workers = Annotated[
    int | None,
    Option("-j", "--workers", min=1, max=MOST_THREADS, help="Decoding threads. Default: the CPUs."),
]
AnyFrame = Annotated[
    bool, Option("--any-frame", help="Judge frames too that are blank, dark, blurred beyond the good ones.")
]
CopyFlagged = Annotated[
    Path | None, Option("--copy-flagged", metavar="DIR", help="Copy anomalous and unusable images here.")
]
Verbose = Annotated[bool, Option("-v", "--verbose", help="Say on stderr how it runs and what images had.")]
Colors = Annotated[Color, Option("--color", help="Colour of text; auto honours NO_COLOR.")]
ExitZero = Annotated[bool, Option("--exit-zero", help="Exit with 0 though anomalies were found.")]

# Verify
Golden = Annotated[
    Path | None,
    Option("--golden", metavar="DIR", help="Folder of images with the scores.csv that they must get."),
]

# Training
GoodFolder = Annotated[Path, Argument(metavar="GOOD_DIR", help="Folder of good images.")]
AllGood = Annotated[
    bool, Option("--all-good", help="Images in folders whose names do not say it are good, too.")
]
ModelOutput = Annotated[Path, Option("-o", "--output", help="Model file to write.")]
Recipe = Annotated[
    str | None, Option("--recipe", metavar="NAME|FILE", help="A recipe that comes along, or a YAML file.")
]
Minutes = Annotated[
    float | None,
    Option("--minutes", callback=_number(above=0, most=MOST_MINUTES), help="Train for about this long."),
]
Steps = Annotated[int | None, Option("--steps", min=1, max=MOST_STEPS, help="Train for this many steps.")]
Seed = Annotated[
    int, Option("--seed", min=0, max=LARGEST_SEED, help="Same seed, same machine, same numbers.")
]
ResumeTraining = Annotated[bool, Option("--resume", help="Go on from the last checkpoint.")]
Work = Annotated[
    Path | None, Option("--work", metavar="DIR", help="Folder of checkpoints, logs and decoded images.")
]
Overrides = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one key of the recipe; repeatable.")
]
Task = Annotated[str, Argument(metavar="TASK", help="Pretext task, e.g. rotation.")]
Source = Annotated[Path, Argument(metavar="DIR", help="Folder of images; for video-triplet also a video.")]
FewLabels = Annotated[
    Path | None,
    Option("--labelled", metavar="DIR", help="For s4l: labelled images, a folder a class, or a CSV list."),
]
EncoderOutput = Annotated[Path, Option("-o", "--output", help="Encoder file to write.")]
Encoder = Annotated[str, Option("--encoder", help="Encoder by name.")]

# Probes
ProbedEncoder = Annotated[
    str,
    Argument(metavar="ENCODER", help="Encoder file, or random:NAME for an untrained one to compare with."),
]
Labelled = Annotated[
    Path,
    Argument(
        metavar="LABELLED_DIR", help="A folder per class, in train/ and test/ or to be split; or a CSV list."
    ),
]
Protocol = Annotated[
    str,
    Option("--protocol", metavar="NAME", help="linear, logistic, knn, few-shot, finetune or retention."),
]
ProbeOutput = Annotated[
    Path | None, Option("-o", "--output", metavar="JSON", help="Write the numbers and every setting here.")
]
EncoderName = Annotated[
    str | None, Option("--encoder", help="Which network it is, where the file does not say.")
]
Stages = Annotated[str | None, Option("--stages", help="Stages to probe, such as 2,3. Default: all.")]
Standardize = Annotated[
    str | None,
    Option("--standardize", help="How images reach the encoder, if its file does not say: image or fixed."),
]
TestFraction = Annotated[
    float,
    Option(
        "--test-fraction",
        callback=_number(above=0, below=1),
        help="Share of a folder that is not split yet to test on.",
    ),
]
SplitSeed = Annotated[
    int, Option("--split-seed", min=0, max=LARGEST_SEED, help="Splits a folder that is not split yet.")
]
Results = Annotated[list[Path], Argument(metavar="RESULT...", help="Files that probe wrote.")]
PlotOutput = Annotated[
    Path | None, Option("-o", "--output", metavar="PLOT", help="Draw a plot: .png, .svg or .pdf.")
]

# Evaluate and demo
DatasetFolder = Annotated[Path, Argument(metavar="DATASET", help="Folder of good and anomalous images.")]
MetricsRows = Annotated[MetricsFormat, Option("-f", "--format", help="How results are printed.")]
ReportFolder = Annotated[
    Path | None,
    Option("-o", "--output", metavar="DIR", help="Put pictures, scores.csv and metrics.json here."),
]
DemoFolder = Annotated[Path, Argument(metavar="DIR", help="Folder to make.")]
DemoImages = Annotated[int, Option("--images", min=1, max=100_000, help="Good images to make.")]
