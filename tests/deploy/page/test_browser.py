"""The page at work in a headless Chromium: it judges as the command line does, and without a network."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser, Site
from PIL import Image
from typer.testing import Result

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

Call = Callable[..., Result]
Serve = Callable[[Path], Site]
READY = "document.documentElement?.dataset.model === 'ready'"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser(1200, 900, *CAMERA) as browser:
        yield browser


@pytest.fixture
def model(make_tiny: Callable[..., Path], metadata_with: Callable[..., Any]) -> Path:
    """Scores are the mean of the pixels over 255; frames of less than 4 gray levels cannot be judged."""
    spans = {"brightness": (0, 255), "contrast": (8, 128), "clipped": (0, 1), "sharpness": (0, 9)}
    return make_tiny(metadata=metadata_with(frames=spans))


@pytest.fixture
def site(call: Call, model: Path, tmp_path: Path, serve: Serve) -> Site:
    assert call("page", model, "-o", tmp_path / "page").exit_code == 0
    return serve(tmp_path / "page")


def opened(chromium: Browser, url: str) -> Browser:
    chromium.size(1200, 900)
    chromium.open(url)
    chromium.wait(READY)
    return chromium


def judge(page: Browser, *files: Path) -> None:
    before = page.do("document.querySelectorAll('.card').length")
    page.give("#files", *files)
    page.wait(f"document.querySelectorAll('.card').length === {before + len(files)}")


def stage(page: Browser) -> str:
    words: str = page.do("document.querySelector('#shown').innerText")
    return words


def noise(folder: Path) -> list[Path]:
    """100 pictures of every kind that is read, of all sizes and shades, and some that are not."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(96):
        height, width = rng.integers(8, 90, 2)
        low = rng.integers(0, 200)
        pixels = rng.integers(low, low + 56, (height, width, 3), np.uint8)
        image = Image.fromarray(pixels if number % 3 else pixels[..., 0])
        kind = ("png", "jpg")[number % 2]
        image.save(folder / f"{number}.{kind}", **({"quality": 40 + number // 2} if kind == "jpg" else {}))
    Image.new("L", (30, 20), 128).save(folder / "flat.png")
    Image.new("RGB", (8, 9)).save(folder / "black.jpg")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.jpg").write_bytes((folder / "1.jpg").read_bytes()[:-40])
    return sorted(folder.iterdir())


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return {Path(row["path"]).name: row for row in csv.DictReader(stream)}


def test_it_says_what_the_command_line_says(
    call: Call, chromium: Browser, site: Site, model: Path, tmp_path: Path
) -> None:
    """100 images: every column but times and the words of errors, by the file that the page saves."""
    files = noise(tmp_path / "images")
    assert len(files) == 100
    call("score", model, tmp_path / "images", "-f", "csv", "-o", tmp_path / "ours.csv")
    page = opened(chromium, site.url)
    judge(page, *files)
    page.downloads_to(tmp_path)
    page.click("#save")
    while not (tmp_path / "scores.csv").exists():
        page.settle()
    ours, theirs = rows(tmp_path / "ours.csv"), rows(tmp_path / "scores.csv")
    assert ours.keys() == theirs.keys()
    assert {row["status"] for row in ours.values()} == {"normal", "anomalous", "unusable", "error"}
    for name, row in ours.items():
        found = theirs[name]
        for key in ("status", "anomalous", "width", "height"):
            assert found[key] == row[key], (name, key)
        for key in ("score", "threshold", "p_value"):
            assert bool(found[key]) == bool(row[key]), (name, key)
            assert float(found[key] or 0) == pytest.approx(float(row[key] or 0), abs=1e-6), (name, key)
        if row["status"] == "unusable":
            assert found["error"] == row["error"]
        assert bool(found["error"]) == bool(row["error"])
    assert page.errors() == []
    assert page.requests()
    assert all(url.startswith(site.url) for url in page.requests())


def test_a_verdict_is_shown_in_words_with_its_heatmap(chromium: Browser, site: Site, tmp_path: Path) -> None:
    """Bright on the right, 240 of 255, beside a gray of 10: the mean is 125."""
    pixels = np.full((40, 80), 10, np.uint8)
    pixels[:, 40:] = 240
    Image.fromarray(pixels).save(tmp_path / "half.png")
    page = opened(chromium, site.url)
    judge(page, tmp_path / "half.png")
    words = stage(page)
    assert words.startswith("Normal")
    assert "Score 0.490196, not above the limit of 0.85." in words
    assert "9 of 19 good images scored as high (p\u00a0=\u00a00.5)." in words
    assert "half.png: 80 × 40 pixels" in words
    cells = page.do(
        """(() => { const map = document.querySelector('#shown canvas.heat');
        return [map.width, map.height, ...map.getContext('2d').getImageData(0, 0, 2, 2).data]; })()"""
    )
    opacity = cells[5::4]
    assert cells[:2] == [2, 2]
    assert opacity[0] == opacity[2] == 0
    assert opacity[1] == opacity[3] > 100
    page.click("#heat")
    assert page.do("getComputedStyle(document.querySelector('#shown canvas.heat')).visibility") == "hidden"


def test_what_cannot_be_judged_says_why(chromium: Browser, site: Site, tmp_path: Path) -> None:
    Image.new("L", (30, 20), 250).save(tmp_path / "flat.png")
    (tmp_path / "words.txt").write_text("no picture")
    page = opened(chromium, site.url)
    judge(page, tmp_path / "flat.png")
    assert stage(page).startswith("Cannot be judged")
    assert "nearly constant: contrast 0.0 gray levels; good images have 8.0 to 128.0." in stage(page)
    judge(page, tmp_path / "words.txt")
    assert stage(page).startswith("Not read")
    assert "this page reads JPEG and PNG" in stage(page)
    assert page.do("document.querySelector('#count').textContent") == (
        "2 judged here: 0 anomalous, 2 without a verdict"
    )


def test_dropped_and_pasted_files_are_judged(chromium: Browser, site: Site) -> None:
    page = opened(chromium, site.url)
    for number, event in enumerate(("drop", "paste"), 1):
        transfer = "dataTransfer" if event == "drop" else "clipboardData"
        kind = "DragEvent" if event == "drop" else "ClipboardEvent"
        page.do(
            f"""(() => {{ const data = new DataTransfer(); data.items.add(new File(['x'], '{event}.png'));
            document.dispatchEvent(new {kind}('{event}', {{{transfer}: data, bubbles: true}})); }})()"""
        )
        page.wait(f"document.querySelectorAll('.card').length === {number}")
        assert f"{event}.png" in stage(page)


def test_the_camera_is_judged(chromium: Browser, site: Site) -> None:
    page = opened(chromium, site.url)
    page.click("#camera-switch")
    page.wait("document.querySelector('#video').videoWidth > 0")
    page.click("#camera-take")
    page.wait("document.querySelectorAll('.card').length === 1")
    side = page.do("document.querySelector('#video').videoWidth")
    assert f"{side} × " in stage(page)
    assert stage(page).startswith("Normal")
    page.click("#camera-switch")
    assert page.do("document.querySelector('#camera').hidden")


def test_it_works_without_a_network(chromium: Browser, site: Site, tmp_path: Path, gray: Any) -> None:
    page = opened(chromium, site.url)
    page.wait("document.documentElement.dataset.offline === 'ready'")
    site.close()
    page = opened(chromium, site.url)
    judge(page, gray("a.png", 102))
    assert "Score 0.4," in stage(page)


def test_a_newer_page_is_offered_and_taken(
    call: Call, chromium: Browser, site: Site, model: Path, tmp_path: Path
) -> None:
    """Not taken unasked: a threshold that changes in the middle of a shift would be a surprise."""
    page = opened(chromium, site.url)
    page.wait("document.documentElement.dataset.offline === 'ready'")
    call("page", model, "-o", tmp_path / "page", "--max-false-alarms", 0.3)
    page = opened(chromium, site.url)
    assert "at most 10 %" in page.do("document.querySelector('#promised').textContent")
    page.wait("document.querySelector('#newer').hidden === false")
    page.do("document.querySelector('#replace').click()")
    page.wait("document.querySelector('#promised')?.textContent.includes('at most 30 %')")


def test_another_model_is_not_used(chromium: Browser, site: Site, tmp_path: Path) -> None:
    model = tmp_path / "page/model.onnx"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    chromium.open(site.url)
    chromium.wait("document.querySelector('#status').classList.contains('failed')")
    assert "not the file that this page was written for" in chromium.do(
        "document.querySelector('#status').textContent"
    )
    assert chromium.do("document.querySelector('#sources').hidden")


def test_a_device_that_computes_otherwise_is_refused(chromium: Browser, site: Site, tmp_path: Path) -> None:
    about = tmp_path / "page/model.json"
    known = json.loads(about.read_text("utf-8"))
    scores = known["self_test"]["scores"]
    scores[scores.index(max(scores))] *= 1.01
    about.write_text(json.dumps(known))
    chromium.open(site.url)
    chromium.wait("document.querySelector('#status').classList.contains('failed')")
    words = chromium.do("document.querySelector('#status').textContent")
    assert "thresholds do not hold: 0.0099 off, where 0.000010 is allowed" in words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(chromium: Browser, site: Site, scheme: str, gray: Any) -> None:
    page = opened(chromium, site.url)
    page.size(360, 740, phone=True)
    page.media(prefers_color_scheme=scheme)
    judge(page, gray("a rather long name of an image, as cameras give it.png", 102))
    page.do("document.querySelectorAll('details').forEach((box) => box.open = true)")
    page.settle()
    assert page.do("document.documentElement.scrollWidth") == 360
    page.media()
