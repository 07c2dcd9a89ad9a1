"""`onlygood man`: the man page."""

import typer

from onlygood.deploy.cli import COMMANDS, app
from onlygood.deploy.manual import manual
from onlygood.deploy.options.models import ManOptions


def run(options: ManOptions) -> int:
    """Print it as `man` reads it."""
    about = str(app.info.help).rstrip(".")
    typer.echo(manual({name: taken for name, (taken, _) in COMMANDS.items()}, about), nl=False)
    return 0
