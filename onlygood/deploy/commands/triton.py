"""`onlygood triton`: models as Triton Inference Server, and so KServe, takes them."""

import typer

from onlygood.deploy.destination import check_folder
from onlygood.deploy.options.models import TritonOptions
from onlygood.deploy.triton import add_model
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display


def run(options: TritonOptions) -> int:
    """Add each model to the repository, and say where it is."""
    names = [path.stem for path in options.models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise OnlygoodError(f"two models would be called {twice[0]!r}: rename one")
    check_folder(options.output)
    for path in options.models:
        folder = add_model(
            path,
            options.output,
            most=options.max_batch,
            rate=options.max_false_alarms,
            key=options.key,
        )
        typer.echo(display(folder))
    return 0
