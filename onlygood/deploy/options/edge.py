"""What the commands take that fit a model file to a device: `calibrate`, `quantize` and `bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    Json,
    MaxMemory,
    Model,
    Options,
    Quiet,
    Rate,
    Sha256,
    Threads,
    Workers,
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
    groups: Annotated[
        str | None,
        Option(
            "--groups",
            metavar="REGEX",
            help="What in an image's path names the part it shows; the promise is then for new parts.",
        ),
    ] = None
    all_good: Annotated[
        bool, Option("--all-good", help="Images in folders whose names do not say it are good, too.")
    ] = False
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
    threads: Threads = 1
    provider: Annotated[
        str, Option("--provider", help="onnxruntime execution provider that will score, too.")
    ] = "cpu"
    sha256: Sha256 = None
    json: Json = False
    quiet: Quiet = False
