"""The page: one HTML file with its style, its program and its data in it, and nothing else.

Data are two blocks of JSON that the program reads: ``data`` (all but pictures; a list for each column of the
table of images, in the same order) and ``pictures`` (by the image's number: thumbnail, heatmap, and the box
that the heatmap covers if that is not the image). In them every ``<`` is escaped, so that no name can end a
block, and the program makes text of names, never markup. A content security policy lets only this program
run, by its hash, and nothing be loaded.
"""

import base64
import hashlib
import html
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import numpy as np

from onlygood import __version__
from onlygood.deploy.clock import source_date
from onlygood.deploy.report.collect import Collection, Looked
from onlygood.deploy.report.facts import model_facts, product_of, promise_words, remarks, what_it_is
from onlygood.deploy.report.measures import measures
from onlygood.deploy.report.pictures import Picture
from onlygood.deploy.report.style import asset, styled
from onlygood.runtime import jsontext
from onlygood.runtime.images.files import display
from onlygood.runtime.model.detector import Detector

SCHEMA = 1
LIMIT = 10_000_000  # bytes of the file
_RESERVE = 100_000  # bytes, of what pictures add beside themselves
_WHOLE = (0.0, 0.0, 1.0, 1.0)


def report_data(
    detector: Detector,
    found: Collection,
    *,
    model: Path,
    threshold: float,
    rate: float,
    words: Sequence[str],
    output: Path,
    seed: int,
) -> dict[str, Any]:
    """All that the page shows beside pictures, as JSON values; ``model`` is the path of its file."""
    held_out, date = detector.metadata.calibration, source_date()
    made = datetime.now(UTC) if date is None else datetime.fromtimestamp(date, UTC)
    weights = held_out.weights()
    timed = [
        image.row.ms for image in found.images if image.row.ms is not None and image.row.score is not None
    ]
    return {
        "schema": SCHEMA,
        "onlygood": __version__,
        "made": made.strftime("%Y-%m-%d %H:%M UTC"),
        "model": {
            "product": product_of(detector.metadata, model),
            "what": what_it_is(detector, rate),
            "sha256": detector.file.sha256,
            "facts": model_facts(detector),
            "promise": promise_words(held_out, rate),
            "remarks": remarks(detector),
        },
        "rate": rate,
        "threshold": threshold,
        "calibration": {
            "scores": held_out.scores,
            "weights": None if weights is None else weights.tolist(),
            "unit": "images" if weights is None else "parts",
        },
        "found": list(words),
        "knows_seen": found.knows_seen,
        "measures": measures(found.images, held_out, seed),
        "run": {
            "seconds": round(found.seconds, 2),
            "per_image_ms": [round(float(value), 1) for value in np.quantile(timed, [0.5, 0.95])]
            if timed
            else None,
        },
        **_table(found.images, output),
    }


def _table(images: Sequence[Looked], output: Path) -> dict[str, Any]:
    """The images, a list for each column; folders and kinds of defects by number."""
    folders: dict[Path, int] = {}
    defects: dict[str, int] = {}
    columns: dict[str, list[Any]] = {
        name: [] for name in ("name", "folder", "status", "score", "width", "height", "ms", "label", "defect")
    }
    columns |= {name: [] for name in ("seen", "copies")}
    odd: dict[str, dict[int, Any]] = {"raw": {}, "error": {}, "notes": {}}  # of few images
    for index, image in enumerate(images):
        row, sample = image.row, image.sample
        path = Path(row.path)
        columns["name"].append(display(path.name))
        columns["folder"].append(folders.setdefault(path.parent, len(folders)))
        columns["status"].append(row.status.value)
        columns["score"].append(row.score)  # with all its digits: the page compares it with the threshold
        columns["width"].append(row.width)
        columns["height"].append(row.height)
        columns["ms"].append(None if row.ms is None else round(row.ms, 1))
        columns["label"].append(None if sample is None else sample.label)
        kind = sample.defect if sample is not None and sample.label else ""
        columns["defect"].append(defects.setdefault(kind, len(defects)) if kind else None)
        columns["seen"].append(int(image.seen))
        columns["copies"].append(image.copies)
        if display(path.name) != path.name:
            odd["raw"][index] = quote_from_bytes(os.fsencode(path.name), safe="")
        if row.error:
            odd["error"][index] = row.error
        if row.notes:
            odd["notes"][index] = list(row.notes)
    return {
        "folders": [_folder(folder, output) for folder in folders],
        "defects": list(defects),
        "images": columns | odd,
    }


def _folder(folder: Path, output: Path) -> dict[str, str | None]:
    """A folder as people read it, as a list names it, and as the page links to it; percent-encoded."""
    absolute = folder.absolute()
    try:
        beside: str | None = os.path.relpath(absolute, output.absolute().parent)
    except ValueError:  # another drive
        beside = None
    link = None if beside is None else f"./{quote_from_bytes(os.fsencode(Path(beside).as_posix()))}/"
    return {
        "name": display(folder),
        "path": quote_from_bytes(os.fsencode(absolute / "_"), safe=":/\\")[:-1],  # with the separator
        "link": link,
    }


def room_for_pictures(data: Mapping[str, Any]) -> int:
    """Bytes that are left for pictures in a file within the limit."""
    return max(0, LIMIT - _RESERVE - len(page(data, {})))


def page(data: Mapping[str, Any], pictures: Mapping[int, Picture]) -> bytes:
    """The whole file."""
    shown = {
        index: [picture.image, picture.heatmap, *([] if picture.box == _WHOLE else [picture.box])]
        for index, picture in pictures.items()
    }
    assets = {name: asset(f"report.{name}") for name in ("html", "css", "js")}
    assets["css"] = styled(assets["css"])
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(assets['css'])}; "
        f"script-src {_hash(assets['js'])}; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = {
        "{{policy}}": policy,
        "{{title}}": html.escape(f"{data['model']['product']}: report of onlygood"),
        "{{style}}": assets["css"],
        "{{data}}": _json(data),
        "{{pictures}}": _json(shown),
        "{{program}}": assets["js"],
    }
    text = assets["html"]
    parts = []
    for name, value in filled.items():  # in the template's order, so that no value is searched for a name
        before, text = text.split(name, 1)
        parts += [before, value]
    return "".join([*parts, text]).encode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON in ASCII that may stand in a ``script`` element: it holds no ``<``."""
    return jsontext.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026").replace(">", "\\u003e")
