"""Is a report of 10,000 images below 10 MB, and usable in a headless Chromium within 3 seconds?

    onlygood demo demo
    python -m benchmarks.deploy.report_many demo

``demo`` is the folder that the first command made. Its test plates are turned, mirrored, made lighter and
darker until there are enough; the model is a stand-in, made by hand, that scores brightness.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import harness
from onlygood.runtime.images.files import find_images

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import hand_made  # of the tests
from browser import Browser

SIDE, CELLS = 64, 16  # of the model's input and heatmap
PHONE = {"width": 390, "height": 844, "phone": True}
DESKTOP = {"width": 1200, "height": 900}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, metavar="DEMO", help="folder of `onlygood demo`")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    work = harness.RUNS / "report_many" / str(options.images)
    page, written = work / "report.html", work / "written.json"
    if not page.exists():
        work.mkdir(parents=True)
        multiply(options.demo / "data/test", work / "images", options.images)
        (work / "model.onnx").write_bytes(stand_in())
        command = harness.onlygood("report", "model.onnx", "images", "-o", page.name)
        written.write_text(json.dumps(harness.run_measured(command, work, "report").rounded()))
    about = {"command": harness.typed_command(options.demo)} | harness.provenance()
    windows = {"desktop": DESKTOP, "phone": PHONE}
    result: dict[str, Any] = {
        "images": options.images,
        "bytes": page.stat().st_size,
        "written in": json.loads(written.read_text()),
        **{kind: opened(page, window, options.rounds) for kind, window in windows.items()},
    }
    harness.write_result(harness.result_file("report_many", f"plates-{options.images}"), about | result)
    print(result)


def multiply(plates: Path, folder: Path, wanted: int) -> None:
    """Write ``wanted`` different pictures."""
    folder.mkdir()
    sources = [np.asarray(Image.open(path)) for path in find_images([plates]) if isinstance(path, Path)]
    for number in range(wanted):
        turn, source = divmod(number, len(sources))
        light, turn = divmod(turn, 8)
        pixels = np.rot90(sources[source][:, :: 1 if turn < 4 else -1], turn % 4)
        lit = np.clip(pixels * (0.8 + 0.05 * light), 0, 255).astype(np.uint8)
        Image.fromarray(lit).save(folder / f"{number:05}.jpg", quality=85)


def stand_in() -> bytes:
    """A model of the mean of the pixels over 255, calibrated on the range of the pictures."""
    hand_made.SIDE = SIDE
    model = hand_made.tiny_graph()
    for side in model.graph.output[1].type.tensor_type.shape.dim[1:]:
        side.dim_value = CELLS
    metadata = hand_made.tiny_metadata(
        name="stand-in",
        input={"height": SIDE, "width": SIDE, "channels": 1},
        heatmap=(CELLS, CELLS),
        calibration={"scores": np.linspace(0.2, 0.5, 199).tolist(), "max_false_alarms": 0.01},
    )
    return hand_made.seal(hand_made.with_metadata(model, metadata))


def opened(page: Path, window: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Milliseconds on the clock of a machine that others may use too, and of all processes of the browser."""
    times: dict[str, list[tuple[float, float]]] = {}
    with Browser() as browser:
        browser.size(**window)
        begun = perf_counter()
        browser.open(page)  # in a process of its own, in which the rounds stay
        browser.settle()
        first = perf_counter() - begun
        for _ in range(rounds):
            for what, act in ACTS.items():
                clock, cpu = perf_counter(), browser.cpu_seconds()
                act(browser, page)
                browser.settle()
                times.setdefault(what, []).append((perf_counter() - clock, browser.cpu_seconds() - cpu))
        assert browser.do("document.querySelectorAll('#grid .card').length") < 200
        shown = browser.do("Object.keys(JSON.parse(document.querySelector('#pictures').textContent)).length")
        assert browser.errors() == []
    found: dict[str, Any] = {"with a picture": shown, "first opening ms": round(1000 * first)}
    for what, seconds in times.items():
        clocks, cpus = zip(*seconds, strict=True)
        found[what] = {
            "median ms": round(1000 * statistics.median(clocks)),
            "worst ms": round(1000 * max(clocks)),
            "median CPU ms": round(1000 * statistics.median(cpus)),
        }
    return found


ACTS: dict[str, Callable[[Browser, Path], object]] = {
    "opened, painted, usable": Browser.open,  # which waits for the program
    "threshold moved": lambda browser, _: browser.choose("#threshold-value", "0.4"),
    "scrolled": lambda browser, _: browser.do("scrollTo(0, document.documentElement.scrollHeight / 2)"),
}


if __name__ == "__main__":
    main()
