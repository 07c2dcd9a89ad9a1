"""What is said on the page, as text of the figure, and that nothing runs out of it."""

import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from onlygood.pretrain.summary import page, panels
from onlygood.pretrain.summary.measures import ViewAccuracy
from onlygood.pretrain.summary.style import save

ROWS = [{"step": 10.0 * n, "loss": 2.0 / n, "accuracy": n / 4} for n in range(1, 4)]


def axes() -> Axes:
    return Figure().add_subplot()


def said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(match=lambda part: hasattr(part, "get_text")))


def test_the_loss_is_compared_with_guessing() -> None:
    drawn = axes()
    panels.loss_curve(drawn, ROWS, 4)
    curve, chance = drawn.lines
    assert np.asarray(curve.get_xydata()).tolist() == [[10, 2], [20, 1], [30, pytest.approx(2 / 3)]]
    assert list(np.asarray(chance.get_ydata())) == pytest.approx([math.log(4)] * 2)


def test_where_the_loss_has_other_terms_the_cross_entropy_is_shown() -> None:
    drawn = axes()
    panels.loss_curve(drawn, [row | {"cross_entropy": 1.5} for row in ROWS], 4)
    assert set(np.asarray(drawn.lines[0].get_ydata())) == {1.5}


def test_scores_above_the_threshold_are_counted() -> None:
    drawn = axes()
    panels.score_histogram(drawn, np.array([1.0, 2, 3, 4]), 3.0, 0.25)
    assert drawn.get_xlabel() == "threshold 3\n1 of 4 above, 25.00% promised"
    heights = [sum(bar.get_height() for bar in group) for group in drawn.containers]  # type: ignore[attr-defined]
    assert heights == [3, 1]


@pytest.mark.parametrize("scores", [[0.0], [2.0, 2.0]])
def test_scores_may_all_be_the_same(scores: list[float]) -> None:
    drawn = axes()
    panels.score_histogram(drawn, np.array(scores), scores[0], 0.5)
    low, high = drawn.get_xlim()
    assert low < scores[0] < high


def test_panels_keep_apart_however_many_there_are() -> None:
    """Titles and labels of neighbors do not meet, with five of them, which are the most."""
    views = ViewAccuracy([f"turned {90 * n}°" for n in range(4)], np.array([0.9, 0.8, 0.7, 1.0]), 100)
    scores = np.linspace(0, 0.123456, 50)
    points = np.random.default_rng(0).normal(size=(50, 2))
    none = np.zeros(50, bool)
    shown = [
        partial(panels.loss_curve, rows=ROWS, classes=4),
        partial(panels.accuracy_curve, rows=ROWS, classes=4),
        partial(panels.view_bars, found=views),
        partial(panels.score_histogram, scores=scores, threshold=0.123456, promised=0.0189),
        partial(panels.projection, points=points, share=0.4, held_out=~none, flagged=none),
    ]
    figure = page.page("title", "subtitle", shown)
    FigureCanvasAgg(figure).draw()
    titles = [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    for texts in (titles, [axes.xaxis.label for axes in figure.axes]):
        boxes = [text.get_window_extent() for text in texts]
        assert not any(a.overlaps(b) for a, b in pairwise(boxes))
        assert boxes[-1].x1 <= figure.get_size_inches()[0] * figure.dpi


def test_a_page_keeps_its_words_apart_and_within(tmp_path: Path) -> None:
    """Texts of the head and below the pictures neither meet nor leave the page, with long names too."""
    pictures = [
        page.Picture(np.full((40, 30, 3), 9 * n, np.uint8), f"{'long' * 9}{n}.png\n0.5", n == 0)
        for n in range(9)
    ]
    figure = page.page(
        "Recipe maps: 100 good images learned from, 50 held out",
        "60 steps",
        [
            partial(panels.loss_curve, rows=ROWS, classes=4),
            partial(panels.accuracy_curve, rows=ROWS, classes=4),
        ],
        pictures=pictures,
        pictures_title="Are they good?",
        warnings=["the features have collapsed " * 9, "short"],
    )
    save(figure, tmp_path / "summary.png")
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [text.get_window_extent() for text in figure.texts]
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:index])
    labels = [axes.texts[0].get_window_extent() for axes in figure.axes[2:]]
    assert len(labels) == page.PICTURES
    assert all(box.y0 >= 0 and box.x1 <= width for box in labels)
    assert not any(a.overlaps(b) for a, b in pairwise(labels))
    assert said(figure).count("Warning: ") == 2
    with Image.open(tmp_path / "summary.png") as drawn:
        assert drawn.size == (round(width), round(height))
