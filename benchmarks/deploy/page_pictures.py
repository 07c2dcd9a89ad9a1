"""The pictures of docs/report.md and docs/page.md: of rendered plates, in a headless Chromium.

    onlygood demo demo
    python -m benchmarks.deploy.page_pictures demo -o docs/images

``demo`` is the folder that the first command made. Pictures have 256 colors, to be small.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchmarks import harness
from onlygood import Detector

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser, Site  # of the tests

WINDOWS = {
    "light": {"width": 1000, "height": 750},
    "dark": {"width": 1000, "height": 750},
    "phone": {"width": 390, "height": 844, "phone": True, "scale": 1},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, metavar="DEMO", help="folder of `onlygood demo`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    demo = options.demo.resolve()
    with tempfile.TemporaryDirectory() as name, Browser() as browser:
        work = Path(name)
        for title, shown in (("report", report(browser, demo, work)), ("page", page(browser, demo, work))):
            for kind in shown:
                save(browser.screenshot(), options.output / f"{title}-{kind}.png")


def windows(browser: Browser) -> Iterator[str]:
    for kind, window in WINDOWS.items():
        browser.size(**window)
        browser.media(prefers_color_scheme="dark" if kind == "dark" else "light")
        yield kind


def report(browser: Browser, demo: Path, work: Path) -> Iterator[str]:
    """The top, and on a phone the gallery."""
    command = harness.onlygood("report", str(demo / "model.onnx"), str(demo / "data"), "-o", "report.html")
    harness.run_measured(command, work, "report")
    for kind in windows(browser):
        browser.open(work / "report.html")
        if kind == "phone":
            browser.do("document.querySelector('#toolbar').scrollIntoView()")
        yield kind


def page(browser: Browser, demo: Path, work: Path) -> Iterator[str]:
    """A plate with a defect and good ones, judged."""
    harness.run_measured(
        harness.onlygood("page", str(demo / "model.onnx"), "-o", "page", "--title", "Plates"),
        work,
        "page",
    )
    test = demo / "data/test"
    kinds = sorted(path for path in test.iterdir() if path.is_dir())
    files = [sorted(kind.iterdir())[0] for kind in kinds if kind.name != "scratch"]
    detector = Detector.load(demo / "model.onnx")
    scratched = sorted((test / "scratch").iterdir(), key=lambda file: detector.score(file).score)
    files += [*sorted((test / "good").iterdir())[1:3], scratched[len(scratched) // 2]]  # the usual one last
    site = Site(work / "page")
    browser.size(1200, 900)
    browser.open(site.url)
    browser.wait("document.documentElement?.dataset.model === 'ready'")
    for number, file in enumerate(files, 1):  # one by one: names are the same in all folders
        browser.give("#files", file)
        browser.wait(f"document.querySelectorAll('.card').length === {number}")
    for kind in windows(browser):
        browser.do("scrollTo(0, 0)")
        yield kind
    site.close()


def save(png: bytes, target: Path) -> None:
    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(target, optimize=True)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
