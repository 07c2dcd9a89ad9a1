"""The page at work, in a headless Chromium: clicked, dragged, touched, typed into, filtered, marked."""

import csv
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from PIL import Image
from typer.testing import Result

from onlygood.anomaly.data.datasets import discover

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]
THRESHOLD = 0.85


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, report: Path) -> Browser:
    """The report, opened afresh, without what was marked in it."""
    chromium.size(1200, 900)
    chromium.media()
    chromium.open(report)
    return chromium


def names(page: Browser) -> list[str]:
    """Names of the images in the gallery, in their order; those on the screen exist."""
    page.do("document.querySelector('#toolbar').scrollIntoView()")
    page.settle()
    found: list[str] = page.do(
        """[...document.querySelectorAll('#grid .card')]
        .sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map((c) => c.querySelector('.name').textContent)"""
    )
    return found


def statuses(page: Browser) -> dict[str, str]:
    page.do("document.querySelector('#toolbar').scrollIntoView()")
    page.settle()
    found: dict[str, str] = page.do(
        """Object.fromEntries([...document.querySelectorAll('#grid .card')].map((card) =>
        [card.querySelector('.name').textContent, card.querySelector('strong').textContent]))"""
    )
    return found


def readout(page: Browser) -> dict[str, str]:
    found: dict[str, str] = page.do(
        """Object.fromEntries([...document.querySelectorAll('#readout dt')].map((term) =>
        [term.textContent, term.nextSibling.textContent.replaceAll('\\u00a0', ' ')]))"""
    )
    return found


def threshold(page: Browser) -> float:
    return float(page.do("document.querySelector('#threshold').getAttribute('aria-valuenow')"))


def edges(page: Browser) -> tuple[float, float, float, float]:
    """Left, right, height of the plot of the histogram in the window, and the threshold's place."""
    page.center("#histogram")
    left, width, top, at = page.do(
        """(() => { const box = document.querySelector('#histogram svg').getBoundingClientRect();
        const line = document.querySelector('#threshold line').getBoundingClientRect();
        return [box.left, box.width, box.top, line.left]; })()"""
    )
    return left + 44, left + width - 16, top + 100, at


# --- threshold


def test_counts_at_the_models_own_threshold(page: Browser) -> None:
    """230, 240, 245 and 250 of 255 lie above .85; 204 is missed. The intervals are Clopper and Pearson's."""
    assert readout(page) == {
        "Flagged": "4 of 9 new images: 44 %",
        "Promised": "at most 10 % of good images",
        "Detected": "3 of 4 anomalous images: 75 % (19 % to 99 %)",
        "False alarms": "1 of 5 good images: 20 % (0.51 % to 72 %)",
    }
    assert page.do("document.querySelector('[data-defect=scratch]').textContent") == "1 of 2"
    assert page.do("document.querySelector('.tile.odd dd').textContent") == "1"
    assert page.do("document.querySelectorAll('#roc polyline, #precision polyline').length") == 2


def test_the_heading_says_what_the_model_is_for(page: Browser) -> None:
    assert page.do("document.querySelector('h1').textContent") == "tiny"
    assert page.do("document.querySelector('#what').textContent").startswith("Recipe tiny, calibrated on 19")
    assert page.do("document.querySelector('#stand-in').getClientRects().length") == 0


def test_dragging_the_threshold_counts_and_flags_anew(page: Browser) -> None:
    left, right, height, at = edges(page)
    assert left < at < right
    page.mouse("mousePressed", at, height)
    for step in range(1, 11):
        page.mouse("mouseMoved", at + (right - at) * step / 10, height)
    page.mouse("mouseReleased", right, height)
    page.settle()
    assert threshold(page) > 250 / 255
    assert readout(page)["Flagged"] == "0 of 9 new images: 0 %"
    assert set(statuses(page).values()) == {"normal", "unreadable"}
    page.mouse("mouseMoved", left, height)
    page.settle()
    assert threshold(page) > 250 / 255  # it was let go


def test_touching_moves_it_too(page: Browser) -> None:
    page.size(390, 844, phone=True)
    page.settle()
    left, _, height, at = edges(page)
    page.touch("touchStart", (at, height))
    page.touch("touchMove", ((left + at) / 2, height))
    page.touch("touchMove", (left, height))
    page.touch("touchEnd")
    page.settle()
    assert threshold(page) < 51 / 255
    assert readout(page)["Flagged"] == "9 of 9 new images: 100 %"
    assert readout(page)["Promised"] == "at most 100 % of good images"


def test_keys_move_the_threshold_and_the_button_takes_it_back(page: Browser) -> None:
    page.key("t")
    page.key("ArrowLeft")
    assert 0 < THRESHOLD - threshold(page) < 0.01
    page.key("PageDown")
    page.key("PageDown")
    assert readout(page)["Detected"].startswith("4 of 4")  # below 204
    assert readout(page)["Promised"] == "at most 25 % of good images"  # (1 + 4) / 20
    assert page.do("document.querySelector('[data-defect=scratch]').textContent") == "2 of 2"
    page.click("#threshold-reset")
    assert threshold(page) == THRESHOLD
    page.choose("#threshold-value", "0.95")
    assert readout(page)["Detected"].startswith("2 of 4")


def test_a_score_that_equals_the_threshold_is_not_above_it(page: Browser) -> None:
    page.do("document.querySelectorAll('#grid .look')[0].click()")
    page.click("#set-threshold")
    page.key("Escape")
    assert readout(page)["Flagged"] == "0 of 9 new images: 0 %"


# --- gallery


def test_the_gallery_is_sorted_and_filtered(page: Browser) -> None:
    everything = ["<img src=x onerror=window.hacked=1>.png", "g.png", "e.png", "d.png", "f.png"]
    assert names(page)[:5] == everything
    page.choose("#order", "lowest")
    assert names(page)[0] == "a.png"
    page.choose("#order", "nearest")
    assert names(page)[:2] == ["f.png", "d.png"]  # 12.75 and 13.25 of 255 away
    page.choose("#filter-status", "missed")
    assert names(page) == ["f.png"]
    page.choose("#filter-status", "alarms")
    assert names(page) == ["d.png"]
    page.choose("#filter-status", "copies")
    assert sorted(names(page)) == ["b again.png", "b.png"]
    page.choose("#filter-status", "all")
    page.do("document.querySelector('#order').value = 'highest'")
    page.choose("#filter-defect", "good")
    assert names(page)[0] == "d.png"
    page.choose("#filter-defect", "")
    scratches = (
        "[...document.querySelectorAll('#filter-folder option')].find((o) => /scratch/.test(o.text)).value"
    )
    page.choose("#filter-folder", page.do(scratches))
    assert names(page) == ["g.png", "f.png", "h.png"]
    page.choose("#filter-text", "zzz")
    assert names(page) == []
    assert not page.do("document.querySelector('#nothing').hidden")


def test_a_filter_by_status_follows_the_threshold(page: Browser) -> None:
    page.choose("#filter-status", "anomalous")
    assert len(names(page)) == 4
    page.choose("#threshold-value", "0.95")
    assert names(page) == ["<img src=x onerror=window.hacked=1>.png", "g.png"]


def test_heatmaps_are_switched(page: Browser) -> None:
    page.center("#grid .look")
    page.wait("document.querySelectorAll('#grid canvas[data-drawn]').length === 9")
    opacity = "document.querySelector('#grid canvas').getContext('2d').getImageData(0, 0, 1, 1).data[3]"
    assert page.do(opacity) > 100  # the highest score comes first
    page.click("#show-heat")
    assert page.do("document.querySelectorAll('#grid canvas').length") == 0
    page.key("h")
    assert page.do("document.querySelectorAll('#grid canvas').length") == 9
    assert page.do("document.querySelector('#show-heat').checked")


def test_keys_walk_through_the_gallery(page: Browser) -> None:
    page.key("g")
    page.key("ArrowRight")
    assert page.do("document.activeElement.closest('.card').ariaPosInSet") == "2"
    page.key("End")
    page.key("Enter")
    assert page.do("document.querySelector('#viewer').open")
    assert page.do("document.querySelector('#viewer-name').textContent") == "h.png"
    assert "text, no picture" in page.do("document.querySelector('#viewer-facts').textContent")
    page.key("ArrowLeft")
    page.key("Escape")
    assert page.do("document.activeElement.closest('.card').ariaPosInSet") == "9"


def test_the_closer_look_zooms_and_switches_the_heatmap(page: Browser) -> None:
    page.click("#grid .look")
    words = page.do("document.querySelector('#viewer-facts').textContent")
    assert "0.05: about 5 in 100 good images score as high" in words
    assert "dent" in words
    page.key("+")
    page.key("+")
    matrix = "new DOMMatrix(getComputedStyle(document.querySelector('#stage .frame')).transform)"
    assert page.do(f"{matrix}.a") == pytest.approx(2.25)
    x, y = page.center("#stage")
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + 40, y + 30)
    page.mouse("mouseReleased", x + 40, y + 30)
    assert page.do(f"[{matrix}.e, {matrix}.f]") == [40, 30]
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=300)
    page.wait(f"{matrix}.a < 2")
    page.key("0")
    assert page.do(f"[{matrix}.a, {matrix}.e]") == [1, 0]
    page.key("h")
    assert page.do("document.querySelectorAll('#stage canvas').length") == 0


def test_ten_thousand_images_are_few_elements(chromium: Browser, report: Path, tmp_path: Path) -> None:
    """The table a thousand times: only what is on the screen exists, and all can be reached."""
    text = report.read_text("utf-8")
    many = tmp_path / "many.html"
    grow = (
        "const d = document.getElementById('data'), v = JSON.parse(d.textContent);"
        "for (const k in v.images) if (Array.isArray(v.images[k]))"
        " v.images[k] = Array.from({length: 1000}, () => v.images[k]).flat();"
        "d.textContent = JSON.stringify(v);"
    )
    head, program = text.rsplit("<script>", 1)
    head = head.replace("Content-Security-Policy", "none")
    many.write_text(f"{head}<script>{grow}</script><script>{program}", "utf-8")
    chromium.open(many)
    assert chromium.do("document.querySelector('#count').textContent") == "10,000 of 10,000 images"
    chromium.key("g")
    chromium.key("End")
    assert chromium.do("document.activeElement.closest('.card').ariaPosInSet") == "10000"
    assert chromium.do("document.querySelectorAll('.card').length") < 80


# --- marks


def download(page: Browser, folder: Path) -> Path:
    page.downloads_to(folder)
    page.click("#download")
    for _ in range(600):
        if (folder / "marks.csv").is_file() and (folder / "marks.csv").stat().st_size:
            break
        time.sleep(0.1)
    return folder / "marks.csv"


def test_marks_become_a_list_that_evaluate_reads(
    page: Browser, call: Call, tiny: Path, labeled: Path, tmp_path: Path
) -> None:
    page.choose("#filter-status", "alarms")
    page.click("[data-mark=good]")
    assert page.do("document.querySelector('#marked').textContent") == "Marked: 1 fine, 0 bad"
    page.choose("#filter-status", "all")
    page.key("g")
    page.key("b")  # the hostile name
    page.key("ArrowRight")
    page.key("b")
    page.key("b")  # and back
    assert page.do("document.querySelector('#marked').textContent") == "Marked: 1 fine, 1 bad"
    marks = download(page, tmp_path)
    with marks.open(newline="", encoding="utf-8") as file:
        assert {(Path(row["path"]), row["label"]) for row in csv.DictReader(file)} == {
            (labeled / "good/d.png", "good"),
            (labeled / "dent/<img src=x onerror=window.hacked=1>.png", "bad"),
        }
    assert '"image_auroc": {' in call("evaluate", tiny, marks, "-f", "json", "-q").stdout
    page.open(tmp_path / "report.html")  # the browser kept them
    assert page.do("document.querySelector('#marked').textContent") == "Marked: 1 fine, 1 bad"


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_the_list_has_the_bytes_of_odd_names(
    chromium: Browser, call: Call, tiny: Path, gray: Gray, tmp_path: Path
) -> None:
    odd = tmp_path / "o,d" / os.fsdecode(b'caf\xe9 "\xc3\xa9\n.png')
    gray("o,d/x.png", 51).rename(odd)
    call("report", tiny, tmp_path / "o,d", "-o", tmp_path / "r.html", "-q")
    chromium.open(tmp_path / "r.html")
    chromium.click("[data-mark=bad]")
    (sample,) = discover(download(chromium, tmp_path)).samples
    assert (sample.path, sample.label) == (odd, 1)


# --- the page as a whole


def test_nothing_is_loaded_nothing_runs_from_names_and_nothing_complains(page: Browser, report: Path) -> None:
    page.click("#grid .look")
    page.key("Escape")
    page.center("#grid .look")
    page.wait("document.querySelectorAll('#grid canvas[data-drawn]').length === 9")
    assert page.do("window.hacked") is None
    assert page.do("document.querySelectorAll('#grid img').length") == 9  # none of a name
    assert page.requests() == [report.as_uri()]
    assert page.errors() == []


def luminance(color: np.ndarray) -> float:
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_of_text_can_be_read(page: Browser, scheme: str) -> None:
    """Contrast of 4.5 to 1 at least (WCAG 2.2, AA) of each color of text on both grounds."""
    page.media(prefers_color_scheme=scheme)

    def color(name: str) -> np.ndarray:
        value = page.do(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')").strip()
        return np.array([int(value[i : i + 2], 16) for i in (1, 3, 5)]) / 255

    for text in ("ink", "quiet", "link", "bad", "odd"):
        for ground in ("paper", "sheet"):
            one, other = sorted([luminance(color(text)), luminance(color(ground))])
            assert (other + 0.05) / (one + 0.05) >= 4.5, (text, ground)


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_nothing_is_wider_than_the_window(page: Browser, width: int) -> None:
    page.size(width, 800, phone=width < 600)
    page.settle()
    assert page.do("document.documentElement.scrollWidth") == width


def test_on_paper_images_stand_and_controls_do_not(page: Browser) -> None:
    page.media("print")
    page.do("window.dispatchEvent(new Event('beforeprint'))")
    assert page.do("getComputedStyle(document.querySelector('.card')).position") == "static"
    assert page.do("document.querySelector('#toolbar').getClientRects().length") == 0
    page.do("window.dispatchEvent(new Event('afterprint'))")


def test_a_screenshot_shows_the_verdicts(page: Browser, tmp_path: Path) -> None:
    """The flagged image has a frame in the color of anomalies, the normal one none."""
    (tmp_path / "page.png").write_bytes(page.screenshot())
    before = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    assert before.shape == (900, 1200, 3)
    page.center("#grid .look")
    page.settle()
    (tmp_path / "page.png").write_bytes(page.screenshot())
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).reshape(-1, 3)
    framed = (pixels == (0xB8, 0x4A, 0x00)).all(axis=1).sum()
    page.choose("#threshold-value", "2")
    page.center("#grid .look")
    page.settle()
    (tmp_path / "page.png").write_bytes(page.screenshot())
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).reshape(-1, 3)
    assert framed > 1000
    assert (pixels == (0xB8, 0x4A, 0x00)).all(axis=1).sum() < framed / 4
