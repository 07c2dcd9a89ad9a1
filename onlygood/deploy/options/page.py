"""What `page` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from onlygood.deploy.options.shared import Key, Model, Options, Quiet, Rate, Sha256


@dataclass(frozen=True, kw_only=True)
class PageOptions(Options):
    """Write a web page that judges images on the device that opens it, phones too; nothing is uploaded."""

    model: Model
    output: Annotated[Path, Option("-o", "--output", metavar="DIR", help="Folder of the page.")] = Path(
        "page"
    )
    title: Annotated[
        str | None,
        Option(
            "--title",
            help="What people call it, such as a line and its product. Default: the folder that it learned "
            "from, or the model's file.",
        ),
    ] = None
    max_false_alarms: Rate = None
    sha256: Sha256 = None
    key: Key = None
    quiet: Quiet = False
