"""The folder that `page` writes: the program, onnxruntime-web, the model, and what the page knows of it.

The program (built from ``web/page``) is copied as it is. Its libraries are packed with xz in the package,
which is a third smaller, and as gzip, which browsers unpack, in the folder. ``model.json`` holds what the
runtime here reads from the metadata, with the threshold computed here. ``offline.js``, the service worker, is
given the list of all files and a hash of their content: a browser that kept the page notices another version.
"""

import gzip
import hashlib
import html
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from onlygood import __version__
from onlygood.deploy.report.facts import model_facts, promise_words, remarks
from onlygood.deploy.report.style import styled
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import OUTPUT_MARKER, display, mark_output
from onlygood.runtime.model.detector import Detector

SCHEMA = 1
LARGEST = 1_000_000_000  # bytes of a model: a page of a browser has 4 GB, and holds it twice while loading
WORKER = "offline.js"
_PACKED = ".xz"
_SHORT_NAME = 30  # characters, which home screens show at most anyway


def refuse_model(detector: Detector) -> None:
    """Refuse a model that the page would judge otherwise than the command line.

    Raises:
        OnlygoodError: why, and what to do.
    """
    if detector.metadata.input.jpeg == "reduced":
        raise OnlygoodError(
            "this model was calibrated on large JPEGs that are shrunk while decoding (input.jpeg: reduced),"
            " which no browser does, so its scores would differ: fit it again with --set input.jpeg=full"
        )
    if len(detector.file.data) > LARGEST:
        raise OnlygoodError(
            f"a model of {len(detector.file.data):,} bytes does not fit into the memory of a page; up to"
            f" {LARGEST:,} do: `onlygood quantize` makes it smaller"
        )


def check_page_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier page.

    Raises:
        OnlygoodError: it does.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / OUTPUT_MARKER).exists():
        raise OnlygoodError(
            f"{display(folder)} holds files that onlygood did not write, and the page's would mix with them"
            " or replace them: give a new folder"
        )


def write_page(detector: Detector, folder: Path, *, rate: float | None, title: str) -> int:
    """Write all files, the service worker last; returns their bytes.

    Raises:
        OnlygoodError: a file cannot be written, or the calibration is too small for the ``rate``.
    """
    content = page_files(detector, rate=rate, title=title)
    mark_output(folder, "page")
    for name, data in content.items():
        write_atomically(folder / name, data)
    return sum(map(len, content.values()))


def page_files(detector: Detector, *, rate: float | None, title: str) -> dict[str, bytes]:
    """All files of the folder by name; the service worker, which names the others, is the last."""
    assets = dict(program_files())
    worker = assets.pop(WORKER)
    page = assets["index.html"].decode()
    for mark, value in (("{{title}}", title), ("{{version}}", __version__)):
        page = page.replace(mark, html.escape(value))
    assets |= {
        "index.html": page.encode(),
        "manifest.webmanifest": _json(_manifest(title)),
        "model.json": _json(page_model(detector, rate) | {"title": title}),
        "model.onnx": detector.file.data,
    }
    return assets | {WORKER: _head(assets, worker) + worker}


@cache
def program_files() -> Mapping[str, bytes]:
    """What is the same in every page, by name in the folder; ``index.html`` with its marks.

    Raises:
        OnlygoodError: this Python cannot unpack them.
    """
    content = {path.name: path.read_bytes() for path in (files(__package__) / "assets").iterdir()}
    for name in [name for name in content if name.endswith(_PACKED)]:
        data = _unpacked(content.pop(name))
        target = name.removesuffix(_PACKED)
        if target.endswith(".wasm"):
            content[f"{target}.gz"] = gzip.compress(data, mtime=0)
        else:
            content[target] = data
    content["page.css"] = styled(content["page.css"].decode()).encode()
    return content


def _unpacked(data: bytes) -> bytes:
    try:
        import lzma  # noqa: PLC0415 - a Python that was built without it runs everything else
    except ModuleNotFoundError:
        raise OnlygoodError(
            "this Python was built without the module lzma, which unpacks the page's program: take another"
        ) from None
    return lzma.decompress(data)


def page_model(detector: Detector, rate: float | None) -> dict[str, Any]:
    """What the page knows of the model, as JSON values."""
    metadata, held_out = detector.metadata, detector.metadata.calibration
    rate = held_out.max_false_alarms if rate is None else rate
    weights = held_out.weights()
    return {
        "schema": SCHEMA,
        "onlygood": __version__,
        "sha256": detector.file.sha256,
        "bytes": len(detector.file.data),
        "input": metadata.input.model_dump(include={"height", "width", "channels", "resize", "bit_depth"}),
        "area": metadata.area,
        "heatmap": list(metadata.heatmap),
        "calibration": {
            "scores": held_out.scores,
            "weights": None if weights is None else weights.tolist(),
            "unit": "images" if weights is None else "parts",
        },
        "rate": rate,
        "threshold": detector.threshold(rate),
        "heat": list(detector.heat_range(rate)),
        "frames": None if metadata.frames is None else metadata.frames.model_dump(),
        "self_test": metadata.self_test.model_dump(),
        "facts": [list(pair) for pair in model_facts(detector)],
        "promise": promise_words(held_out, rate),
        "remarks": remarks(detector),
    }


def _manifest(title: str) -> dict[str, Any]:
    """What makes the page installable."""
    icons = [
        {"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png", "purpose": purpose}
        for side in (192, 512)
        for purpose in ("any", "maskable")
    ]
    return {
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "name": title,
        "short_name": title[:_SHORT_NAME],
        "description": "Judges images with an onlygood model, on this device",
        "display": "standalone",
        "background_color": "#f6f6f4",
        "theme_color": "#f6f6f4",
        "icons": icons,
    }


def _head(content: Mapping[str, bytes], worker: bytes) -> bytes:
    """The lines before the service worker: which files there are, and of which version."""
    digest = hashlib.sha256(worker)
    for name, data in sorted(content.items()):
        digest.update(f"{name} {len(data)} ".encode() + data)
    names = jsontext.dumps(["./", *sorted(content)])
    return f"const VERSION = {jsontext.dumps(digest.hexdigest()[:16])};\nconst FILES = {names};\n".encode()


def _json(value: Any) -> bytes:
    return jsontext.dumps(value).encode()
