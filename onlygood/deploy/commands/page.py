"""`onlygood page`: a static folder that judges images in the browser."""

import shlex

import typer

from onlygood.deploy.destination import check_folder
from onlygood.deploy.messages import speaker
from onlygood.deploy.opening import opened
from onlygood.deploy.options.page import PageOptions
from onlygood.deploy.page.folder import check_page_folder, refuse_model, write_page
from onlygood.deploy.report.facts import product_of
from onlygood.runtime.images.files import printable
from onlygood.runtime.model.detector import Detector

_PORT = 8000


def run(options: PageOptions) -> int:
    """Write the folder, and say how it is opened."""
    detector = Detector(opened(options))
    refuse_model(detector)
    check_folder(options.output)
    check_page_folder(options.output)
    title = options.title or product_of(detector.metadata, options.model)
    written = write_page(detector, options.output, rate=options.max_false_alarms, title=title)
    typer.echo(f"wrote {printable(options.output)} ({written / 1e6:.1f} MB)", err=options.quiet)
    say = speaker(quiet=options.quiet)
    folder = shlex.quote(printable(options.output))
    say("it does not open from the disk: browsers start it at http://localhost or at https only. Here:")
    say(f"  python -m http.server {_PORT} --bind localhost --directory {folder}")
    say(f"  and open http://localhost:{_PORT}")
    say("for phones and other machines put the folder on any server with https; nothing else runs there")
    return 0
