"""What the commands take that fit a model file to a device: `calibrate`, `quantize` and `bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    AllGood,
    Groups,
    Json,
    Key,
    MaxMemory,
    MaxPixels,
    Model,
    Options,
    Provider,
    Quiet,
    Rate,
    Seed,
    Sha256,
    Threads,
    Workers,
    number,
)


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """Set a model's threshold anew from good images of this device, without training."""

    model: Model
    good_dir: Annotated[
        Path | None,
        Argument(metavar="GOOD_DIR", help="Good images that the model never saw: a folder, or a list file."),
    ] = None
    append: Annotated[
        bool, Option("--append", help="Keep the scores that are there and add the new ones.")
    ] = False
    feedback: Annotated[
        Path | None,
        Option(
            "--feedback",
            metavar="LIST",
            help="CSV path,label of images that people judged again: good ones count, all are reported.",
        ),
    ] = None
    max_false_alarms: Rate = None
    groups: Groups = None
    all_good: AllGood = False
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="FILE", help="Write here. Default: the model file, replaced whole."),
    ] = None
    any_frame: Annotated[
        bool,
        Option("--any-frame", help="Count frames too that are blank, dark or blurred beyond the good ones."),
    ] = False
    max_memory: MaxMemory = None
    workers: Workers = None
    threads: Threads = None
    provider: Annotated[
        str, Option("--provider", help="onnxruntime execution provider that will score, too.")
    ] = "cpu"
    sha256: Sha256 = None
    key: Key = None
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions(Options):
    """Make a model smaller and faster: the encoder in 8 bits, a new threshold; refused if it judges worse."""

    model: Model
    calibration: Annotated[
        Path,
        Option(
            "--calibration",
            metavar="DIR",
            help="Good images, a folder or a list: those of the fit, or new ones.",
        ),
    ]
    output: Annotated[Path, Option("-o", "--output", metavar="FILE", help="File of the smaller model.")]
    fp16: Annotated[bool, Option("--fp16", help="Half precision instead of 8 bits, for accelerators.")] = (
        False
    )
    keep_float: Annotated[
        list[str] | None,
        Option("--keep-float", metavar="NAME", help="Leave this layer as it is; a name or glob, repeatable."),
    ] = None
    reduce_range: Annotated[
        bool, Option("--reduce-range", help="7 bits for weights: for x86 processors without VNNI.")
    ] = False
    least_agreement: Annotated[
        float,
        Option(
            "--least-agreement",
            metavar="R",
            callback=number(above=-1, most=1),
            help="Refuse if scores of good images correlate less with those before (Spearman).",
        ),
    ] = 0.95
    most_loss: Annotated[
        float,
        Option(
            "--most-loss",
            metavar="AREA",
            callback=number(most=1),
            help="Refuse if more AUROC is lost on good images with painted defects.",
        ),
    ] = 0.01
    max_false_alarms: Rate = None
    groups: Groups = None
    all_good: AllGood = False
    max_memory: MaxMemory = None
    workers: Workers = None
    seed: Seed = 0
    sha256: Sha256 = None
    key: Key = None
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class BenchOptions(Options):
    """Measure how fast a model is on this device, and say how to run it."""

    model: Model
    paths: Annotated[
        list[Path] | None,
        Argument(metavar="PATH", help="Images and folders to measure with. Default: pictures made for it."),
    ] = None
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="FILE", help="Write what was found here, as JSON, for --tuned."),
    ] = None
    seconds: Annotated[
        float,
        Option(
            "--seconds",
            callback=number(above=0, most=3600),
            help="How long each way to run the model is tried.",
        ),
    ] = 3.0
    workers: Workers = None
    threads: Threads = None
    provider: Provider = None
    max_pixels: MaxPixels = None
    max_memory: MaxMemory = None
    sha256: Sha256 = None
    key: Key = None
    json: Json = False
    quiet: Quiet = False
