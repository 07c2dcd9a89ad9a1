"""What the commands take that look at a model file: `info`, `verify` and `evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    Json,
    Key,
    MaxMemory,
    MetricsFormat,
    MetricsRows,
    Model,
    Models,
    Options,
    Quiet,
    Rate,
    Seed,
    Sha256,
    Threads,
)


@dataclass(frozen=True, kw_only=True)
class InfoOptions(Options):
    """Say what a model file is: input, recipe, threshold, training."""

    model: Model
    max_false_alarms: Rate = None
    sha256: Sha256 = None
    key: Key = None
    json: Json = False


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """Check that a model file is whole, safe, and scores on this device as it did where it was made."""

    model: Model
    sha256: Sha256 = None
    key: Key = None
    golden: Annotated[
        Path | None,
        Option("--golden", metavar="DIR", help="Folder of images with the scores.csv that they must get."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TritonOptions(Options):
    """Lay out models for Triton Inference Server or KServe: versions, and config.pbtxt."""

    models: Models
    output: Annotated[
        Path, Option("-o", "--output", metavar="DIR", help="The model repository, which may hold others.")
    ]
    max_batch: Annotated[int, Option("--max-batch", min=1, max=1024, help="Most images in a request.")] = 8
    max_false_alarms: Rate = None
    key: Key = None


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Measure a model on labeled images: AUROC with intervals, per defect, with pictures."""

    model: Model
    dataset: Annotated[Path, Argument(metavar="DATASET", help="Folder of good and anomalous images.")]
    format: MetricsRows = MetricsFormat.TEXT
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="DIR", help="Put pictures, scores.csv and metrics.json here."),
    ] = None
    threads: Threads = None
    max_memory: MaxMemory = None
    sha256: Sha256 = None
    key: Key = None
    seed: Seed = 0
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class ManOptions(Options):
    """Print the man page: `onlygood man > onlygood.1`, then `man ./onlygood.1`."""
