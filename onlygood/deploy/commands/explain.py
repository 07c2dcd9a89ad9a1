"""`onlygood explain`: why one image has its score, in words, as JSON and as a picture."""

from pathlib import Path
from typing import Any

import typer

from onlygood.deploy.destination import check_output
from onlygood.deploy.explaining import Compared, Explanation
from onlygood.deploy.messages import speaker
from onlygood.deploy.neighbors import nearest
from onlygood.deploy.opening import opened
from onlygood.deploy.options.explain import ExplainOptions
from onlygood.deploy.panels import SIDE, picture
from onlygood.deploy.terms import breakdown
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.files import display, printable
from onlygood.runtime.images.places import regions
from onlygood.runtime.images.reader import DEFAULTS
from onlygood.runtime.images.remote import Place
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.stream import Look, row_of
from onlygood.runtime.rows.verdicts import Row
from onlygood.runtime.threads import available_cpus

_NEIGHBORS = 3


def run(options: ExplainOptions) -> int:
    """Explain; an image that cannot be read, or has no score, is an error."""
    detector = Detector(opened(options))
    rate = options.max_false_alarms
    if rate is None:
        rate = detector.metadata.calibration.max_false_alarms
    threshold = detector.threshold(rate)
    if options.output is not None:
        check_output(options.output, inputs=[options.model, options.image], pictures=[".png"])
    row, look = _looked(detector, options.image, threshold)
    if look.pixels is None:
        raise ValueError("the image was read without its pixels")
    neighbors = []
    if options.good is not None:
        workers = options.workers or available_cpus()
        for one in nearest(detector, look.pixels, options.good, _NEIGHBORS, workers=workers):
            neighbors.append(Compared(*_looked(detector, one.path, threshold), one.distance))
    found = Explanation(
        detector=detector,
        rate=rate,
        row=row,
        look=look,
        regions=regions(
            look.placed,
            detector.heat_threshold(rate),
            (look.width, look.height),
            turn=look.turn,
            inside=detector.inside,
        ),
        parts=breakdown(detector, look.pixels),
        neighbors=neighbors,
    )
    typer.echo(jsontext.dumps(found.as_json(), indent=2) if options.json else "\n".join(found.lines()))
    if options.output is not None:
        write_atomically(options.output, picture(found))
        speaker(quiet=options.quiet)(f"wrote {printable(options.output)}")
    return 0


def _looked(detector: Detector, path: Place | Path, threshold: float) -> tuple[Row, Look]:
    """Score one image, and keep what the model saw of it.

    Raises:
        ImageError: it cannot be read.
        OnlygoodError: the model gives it no score.
    """
    looks: list[Look] = []

    def keep(look: Look) -> dict[str, Any]:
        looks.append(look)
        return {}

    spec = detector.metadata.input
    row = row_of(
        path, detector=detector, threshold=threshold, spec=spec, options=DEFAULTS, also=[keep], preview=SIDE
    )
    if not looks:
        kind = ImageError if row.width is None else OnlygoodError
        raise kind(f"{display(path)}: {row.error}")
    return row, looks[0]
