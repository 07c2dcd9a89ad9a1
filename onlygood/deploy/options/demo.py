"""What `demo` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import Options, Seed


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """Make a small data set of good and defective plates to try everything on."""

    directory: Annotated[Path, Argument(metavar="DIR", help="Folder to make.")] = Path("demo")
    seed: Seed = 0
    images: Annotated[int, Option("--images", min=1, max=100_000, help="Good images to make.")] = 240
