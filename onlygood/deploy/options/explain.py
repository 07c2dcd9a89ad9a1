"""What `explain` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import Json, Key, Model, Options, Quiet, Rate, Sha256, Workers


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(Options):
    """Say why an image has its score: beside good images, where, and by which part of the model."""

    model: Model
    image: Annotated[Path, Argument(metavar="IMAGE", help="The image.")]
    good: Annotated[
        Path | None,
        Option("--good", metavar="DIR", help="Good images, of which the most similar are shown beside it."),
    ] = None
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="PNG", help="Picture to write: the image, its heat, good ones."),
    ] = None
    max_false_alarms: Rate = None
    json: Json = False
    workers: Workers = None
    sha256: Sha256 = None
    key: Key = None
    quiet: Quiet = False
