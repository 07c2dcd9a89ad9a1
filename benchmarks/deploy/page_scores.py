"""Does the page of `onlygood page` say in Chromium what `onlygood score` says, on real images and models?

    python -m benchmarks.deploy.page_scores MODEL PATH... [--images 100]

The images are chosen evenly from all JPEGs and PNGs of the PATHs, in their order. Both give their verdicts as
CSV; every row is compared. The result names no image.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from onlygood.runtime.images.files import find_images
from onlygood.runtime.model.detector import Detector

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser, Site  # of the tests

KINDS = {".jpg", ".jpeg", ".png"}
SAME = ("status", "anomalous", "width", "height")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--name", help="of the result; the model's by default")
    options = parser.parse_args()
    name = options.name or options.model.stem
    found = [path for path in find_images(options.paths) if path.suffix.lower() in KINDS]
    chosen = np.linspace(0, len(found) - 1, min(options.images, len(found))).astype(int)
    about = {"command": harness.typed_command(options.model, *options.paths)} | harness.provenance()
    result = measure(options.model, [Path(found[i]) for i in chosen])
    harness.write_result(harness.result_file("page_scores", name), about | result)
    print(result)


def measure(model: Path, images: list[Path]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = by_command_line(model, images, folder)
        theirs, size = by_page(model, images, folder)
    metadata = Detector.load(model).metadata
    pairs = list(zip(ours, theirs, strict=True))
    scores, p_values = (
        np.array([[float(a[key]), float(b[key])] for a, b in pairs if a["score"]])
        for key in ("score", "p_value")
    )
    differences = np.abs(scores[:, 0] - scores[:, 1])
    spread = float(np.ptp(metadata.calibration.scores))
    return {
        "recipe": metadata.name,
        "images": len(images),
        "kinds": sorted({path.suffix.lower() for path in images}),
        "scored": len(scores),
        "largest difference": float(differences.max()),
        "largest difference, of the score": float((differences / np.abs(scores[:, 0])).max()),
        "largest difference, of the range of good scores": float(differences.max() / spread),
        "largest difference of p-values": float(np.abs(p_values[:, 0] - p_values[:, 1]).max()),
        "verdicts or sizes that differ": sum(any(a[key] != b[key] for key in SAME) for a, b in pairs),
        "median ms in the page": float(np.median([float(b["ms"]) for b in theirs if b["ms"]])),
        "median ms of score": float(np.median([float(a["ms"]) for a in ours if a["ms"]])),
        "bytes of the folder": size,
        "bytes of the model": model.stat().st_size,
    }


def by_command_line(model: Path, images: list[Path], folder: Path) -> list[dict[str, str]]:
    paths = (str(path.resolve()) for path in images)
    options = ("-q", "-j", "1", "-f", "csv", "-o", "ours.csv")
    command = harness.onlygood("score", str(model.resolve()), *options, *paths)
    harness.run_measured(command, folder, "score", accept=(0, 2))
    return rows(folder / "ours.csv")


def by_page(model: Path, images: list[Path], folder: Path) -> tuple[list[dict[str, str]], int]:
    """Rows of the page in the order of the images, and the bytes of its folder."""
    harness.run_measured(harness.onlygood("page", str(model.resolve()), "-o", "page", "-q"), folder, "page")
    site = Site(folder / "page")
    with Browser() as browser:
        browser.open(site.url)
        browser.wait("document.documentElement?.dataset.model === 'ready'")
        browser.downloads_to(folder)
        browser.give("#files", *images)
        browser.wait(f"document.querySelectorAll('.card').length === {len(images)}")
        browser.click("#save")
        while not (folder / "scores.csv").exists():
            browser.settle()
    site.close()
    return rows(folder / "scores.csv"), sum(path.stat().st_size for path in (folder / "page").iterdir())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()
