"""What notebooks show of detectors and results: read as HTML, and pixels looked at."""

import base64
import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlygood import Detector
from onlygood.runtime.model.result import in_words

Gray = Callable[[str, int], Path]


class Page(HTMLParser):
    """Texts and pictures, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def picture(self) -> np.ndarray:
        ((attributes),) = [attributes for tag, attributes in self.elements if tag == "img"]
        source = attributes["src"] or ""
        assert source.startswith("data:image/png;base64,")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def test_a_good_image_is_shown_as_it_is(tiny: Path, gray: Gray) -> None:
    """Score 51/255, in float32 a little above .2; 14 of 19 held-out images score more: p = (1 + 14) / 20."""
    page = Page(Detector.load(tiny).score(gray("part.png", 51))._repr_html_())
    assert "● good" in page.texts
    assert "score 0.2, threshold 0.85" in page.texts
    assert "p = 0.75: most good images score as high" in page.texts
    assert any(text.endswith("part.png") for text in page.texts)
    assert (page.picture() == 51).all()


def test_an_anomaly_is_said_and_drawn(tiny: Path, gray: Gray) -> None:
    page = Page(Detector.load(tiny).score(gray("part.png", 250))._repr_html_())
    assert "▲ anomalous" in page.texts
    drawn = page.picture().astype(int)
    assert (drawn[..., 0] > drawn[..., 2] + 50).all()  # the hot end of the colors


def test_a_heatmap_of_one_value_covers_nothing(tiny: Path, gray: Gray) -> None:
    result = Detector.load(tiny).score(gray("part.png", 250))
    whole = replace(result, heatmap=np.ones((1, 1), np.float32))
    assert (Page(whole._repr_html_()).picture() == 250).all()


def test_where_the_file_is_gone_the_heatmap_is_left(tiny: Path, gray: Gray) -> None:
    path = gray("part.png", 51)
    result = Detector.load(tiny).score(path)
    path.unlink()
    page = Page(result._repr_html_())
    assert (page.picture() == 128).all()
    path.write_bytes(b"no image")
    assert Page(result._repr_html_()).texts == page.texts


def test_an_array_has_no_name(tiny: Path) -> None:
    result = Detector.load(tiny).score(np.full((8, 8), 51, np.uint8))
    assert result.path is None
    assert (Page(result._repr_html_()).picture() == 128).all()


def test_a_threshold_of_ones_own_is_the_one_shown(tiny: Path, gray: Gray) -> None:
    result = Detector.load(tiny).score(gray("part.png", 200), alpha=0.3)
    assert result.threshold == 0.65
    assert result.anomalous
    assert any("threshold 0.65" in text for text in Page(result._repr_html_()).texts)


def test_names_are_text(tiny: Path, gray: Gray) -> None:
    name = "<script>alert(1)<svg onload=x>&amp;.png"
    page = Page(Detector.load(tiny).score(gray(name, 51))._repr_html_())
    assert {tag for tag, _ in page.elements} == {"div", "img"}
    assert any(text.endswith(name) for text in page.texts)


def test_a_detector_says_what_it_promises(tiny: Path) -> None:
    page = Page(Detector.load(tiny)._repr_html_())
    words = " ".join(page.texts)
    assert "onlygood model tiny" in words
    assert "8 x 8 px, gray" in words
    assert "at most 10.00% of good images are flagged" in words
    assert "19 good images" in words
    bars = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert len(bars) == 19  # scores 0 to .9 in steps of .05, in 30 bars
    assert len({bar["fill"] for bar in bars}) == 2  # one of them is above the threshold
    (line,) = [attributes for tag, attributes in page.elements if tag == "line"]
    assert float(line["x1"] or 0) == pytest.approx(300 * 0.85 / 0.9, abs=0.1)


def test_a_detector_travels_to_other_processes(tiny: Path, gray: Gray) -> None:
    first = Detector.load(tiny, threads=2)
    second = pickle.loads(pickle.dumps(first))  # noqa: S301
    image = gray("part.png", 77)
    assert second.score(image).score == first.score(image).score
    assert second._options == (2, "cpu")
    assert pickle.loads(pickle.dumps(first.score(image))).path == image  # noqa: S301


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (1.0, "most good images score as high"),
        (0.04, "about 4 in 100 good images score as high"),
        (0.002, "about 2 in 1,000 good images score as high"),
        (0.0001, "about 1 in 10,000 good images score as high"),
    ],
)
def test_p_values_in_words(p_value: float, words: str) -> None:
    assert in_words(p_value) == words
