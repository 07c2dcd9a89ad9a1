"""What the commands take that measure encoders: `probe` and `compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    MetricsFormat,
    MetricsRows,
    Options,
    Overrides,
    Quiet,
    Seed,
    number,
)
from onlygood.runtime.limits import LARGEST_SEED


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Options):
    """Measure what a frozen encoder has learned, on labeled images."""

    encoder: Annotated[
        str,
        Argument(
            metavar="ENCODER", help="Encoder file, or random:NAME for an untrained one to compare with."
        ),
    ]
    labelled: Annotated[
        Path,
        Argument(
            metavar="LABELLED_DIR",
            help="A folder per class, in train/ and test/ or to be split; or a CSV list.",
        ),
    ]
    protocol: Annotated[
        str,
        Option("--protocol", metavar="NAME", help="linear, logistic, knn, few-shot, finetune or retention."),
    ] = "linear"
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="JSON", help="Write the numbers and every setting here."),
    ] = None
    name: Annotated[
        str | None, Option("--encoder", help="Which network it is, where the file does not say.")
    ] = None
    stages: Annotated[str | None, Option("--stages", help="Stages to probe, such as 2,3. Default: all.")] = (
        None
    )
    standardize: Annotated[
        str | None,
        Option(
            "--standardize",
            help="How images reach the encoder, if its file does not say; as input.standardize.",
        ),
    ] = None
    test_fraction: Annotated[
        float,
        Option(
            "--test-fraction",
            callback=number(above=0, below=1),
            help="Share of a folder that is not split yet to test on.",
        ),
    ] = 0.2
    split_seed: Annotated[
        int,
        Option("--split-seed", min=0, max=LARGEST_SEED, help="Splits a folder that is not split yet."),
    ] = 0
    seed: Seed = 0
    overrides: Overrides = None
    format: MetricsRows = MetricsFormat.TEXT
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """Put results of probe side by side, as a table and a plot."""

    results: Annotated[list[Path], Argument(metavar="RESULT...", help="Files that probe wrote.")]
    output: Annotated[
        Path | None, Option("-o", "--output", metavar="PLOT", help="Draw a plot: .png, .svg or .pdf.")
    ] = None
    format: MetricsRows = MetricsFormat.TEXT
    quiet: Quiet = False
