"""What several commands take, each declared once."""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was typed after a command's name; its docstring is the command's help.

    A field's annotation says how it is typed, its default what it is where it is not typed.
    """


def number(
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


class MetricsFormat(StrEnum):
    """How `evaluate`, `probe` and `compare` print their results."""

    TEXT = "text"
    JSON = "json"


class Engine(StrEnum):
    """Who does the work: threads of this process, or workers of Ray."""

    LOCAL = "local"
    RAY = "ray"


Model = Annotated[Path, Argument(metavar="MODEL", help="Model file (.onnx) that `onlygood fit` wrote.")]
Models = Annotated[
    list[Path],
    Argument(metavar="MODEL...", help="Model files; each is asked for by its name without .onnx."),
]
GoodDir = Annotated[Path, Argument(metavar="GOOD_DIR", help="Folder of good images.")]
Recipe = Annotated[
    str | None,
    Option(
        "--recipe",
        metavar="NAME|FILE",
        help="A recipe that comes along, or a YAML file. Default: auto, chosen by looking at the images.",
    ),
]
Rate = Annotated[
    float | None,
    Option(
        "--max-false-alarms",
        metavar="RATE",
        callback=number(above=SMALLEST_RATE, below=1),
        help="Highest rate of false alarms on good images, e.g. 0.01. Default: the recipe's or the model's.",
    ),
]
Sha256 = Annotated[
    str | None, Option("--sha256", metavar="HEX", help="Refuse the model unless its SHA-256 is this.")
]
Key = Annotated[
    str | None,
    Option(
        "--key",
        metavar="KEY|FILE",
        help="Refuse the model unless MODEL.minisig is its signature by this public key (minisign).",
    ),
]
Threads = Annotated[
    int | None,
    Option("--threads", min=1, max=MOST_THREADS, help="Threads of one inference. Default: 1."),
]
Groups = Annotated[
    str | None,
    Option(
        "--groups",
        metavar="REGEX",
        help="What in an image's path names the part it shows; the promise is then for new parts.",
    ),
]
AllGood = Annotated[
    bool, Option("--all-good", help="Images in folders whose names do not say it are good, too.")
]
Workers = Annotated[
    int | None,
    Option("-j", "--workers", min=1, max=MOST_THREADS, help="Images at work at once. Default: the CPUs."),
]
EngineName = Annotated[
    Engine, Option("--engine", help="ray: by workers of Ray, here or on many machines (onlygood[ray]).")
]
RayAddress = Annotated[
    str | None,
    Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Ray's cluster. Default: RAY_ADDRESS, else this machine alone.",
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
Quiet = Annotated[bool, Option("-q", "--quiet", help="No progress and no summary on stderr.")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
MetricsRows = Annotated[MetricsFormat, Option("-f", "--format", help="How results are printed.")]
Minutes = Annotated[
    float | None,
    Option("--minutes", callback=number(above=0, most=MOST_MINUTES), help="Train for about this long."),
]
Steps = Annotated[
    int | None,
    Option(
        "--steps", min=0, max=MOST_STEPS, help="Train for this many steps; 0 leaves the encoder as it is."
    ),
]
EncoderWeights = Annotated[
    str | None,
    Option(
        "--encoder-weights",
        metavar="FILE|download",
        help="Weights to begin with: ours or published ones; download gets those of a timm model.",
    ),
]
Seed = Annotated[
    int, Option("--seed", min=0, max=LARGEST_SEED, help="Same seed, same machine, same numbers.")
]
EncoderName = Annotated[
    str | None, Option("--encoder", help="Encoder by name, or timm:NAME. Default: the recipe's.")
]
Roi = Annotated[
    Path | None,
    Option("--roi", metavar="FILE", help="Look only here: a mask (white counts), or polygons in JSON."),
]
Ignore = Annotated[
    Path | None, Option("--ignore", metavar="FILE", help="Do not look here: a mask or polygons.")
]
ExcludeList = Annotated[
    Path | None,
    Option(
        "--exclude",
        metavar="LIST",
        help="Leave out images that this list (path,label) calls bad, such as the marks of a report.",
    ),
]
ResumeTraining = Annotated[bool, Option("--resume", help="Go on from the last checkpoint.")]
Overrides = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one key of the recipe; repeatable.")
]

# --- how images are found, read and judged: `score`, `check` and `watch`

Threshold = Annotated[
    float | None, Option("--threshold", metavar="SCORE", callback=number(), help="Flag scores above this.")
]
NoRecursive = Annotated[bool, Option("--no-recursive", help="Leave folders inside folders alone.")]
Exclude = Annotated[
    list[str] | None, Option("--exclude", metavar="GLOB", help="Leave matching names alone; repeatable.")
]
MaxPixels = Annotated[
    int | None,
    Option(
        "--max-pixels", min=1, max=LARGEST_IMAGE, help="Refuse larger images unread. Default: 100 million."
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
Provider = Annotated[
    str | None,
    Option("--provider", help="onnxruntime execution provider; `info` lists yours. Default: cpu."),
]
Tuned = Annotated[
    Path | None,
    Option(
        "--tuned",
        metavar="FILE",
        help="Run as `onlygood bench -o FILE` found best; -j, --threads and --provider go before it.",
    ),
]
Drift = Annotated[
    bool,
    Option("--drift", help="Test whether images are still like those of the calibration, and say if not."),
]
AppendedRows = Annotated[
    Path | None, Option("-o", "--output", help="Append rows to this JSONL file. Default: print them.")
]
DriftFlagged = Annotated[
    float,
    Option(
        "--drift-flagged",
        metavar="SHARE",
        callback=number(above=0, below=1),
        help="Share of flagged images from which on --drift calls it a change.",
    ),
]
AnyFrame = Annotated[
    bool, Option("--any-frame", help="Judge frames too that are blank, dark, blurred beyond the good ones.")
]
