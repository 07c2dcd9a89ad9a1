"""The arithmetic of the page's program, run in Chromium, and ours: the same numbers of the same cases."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from numpy.typing import NDArray

from onlygood.anomaly.evaluation import metrics
from onlygood.runtime.model import calibration

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

Floats = NDArray[np.float64]
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def ask(chromium: Browser, report: Path) -> Ask:
    """``ask("(stats, x) => …", x)``: what a function of the program's arithmetic, and of values, gives."""
    chromium.open(report)

    def asked(function: str, *values: Any) -> Any:
        return chromium.do(f"({function})(onlygood.stats, ...{json.dumps(values)})")

    return asked


@pytest.mark.parametrize("groups", [None, [number // 3 for number in range(20)], [0, *[1] * 6, *[2] * 13]])
def test_p_values_and_promises(ask: Ask, groups: list[int] | None) -> None:
    """With ties, and parts of one, three, six and thirteen images; a threshold flags what lies above it."""
    scores = np.sort(np.random.default_rng(0).random(20).round(1))
    weights = None if groups is None else calibration.part_weights(groups)
    held = {"scores": scores.tolist(), "weights": None if weights is None else weights.tolist()}
    asked = np.array([*scores, -1.0, 0.05, 0.45, 2.0])
    found = ask("(s, held, asked) => asked.map((x) => new s.Ranks(held).pValue(x))", held, asked.tolist())
    assert found == pytest.approx(calibration.p_values(scores, asked, weights).tolist(), rel=1e-12)
    found = ask("(s, held, asked) => asked.map((x) => new s.Ranks(held).promised(x))", held, asked.tolist())
    above = calibration.p_values(scores, np.nextafter(asked, np.inf), weights)
    assert found == pytest.approx(above.tolist(), rel=1e-12)


def test_intervals_of_rates(ask: Ask) -> None:
    totals = [*range(1, 21), 100, 5000]
    cases = [(hits, total) for total in totals for hits in sorted({0, 1, total // 3, total - 1, total})]
    found = ask("(s, cases) => cases.map(([hits, total]) => s.interval(hits, total))", cases)
    ours = [metrics.rate(hits, total)[1:] for hits, total in cases]
    assert np.array(found) == pytest.approx(np.array(ours), abs=1e-10)
    assert found[cases.index((0, 20))][0] == 0
    assert found[cases.index((0, 20))][1] == pytest.approx(1 - 0.025 ** (1 / 20))  # by hand


def drawn(seed: int) -> tuple[Floats, Floats]:
    """Scores with ties among good images, among anomalous ones, and between both."""
    rng = np.random.default_rng(seed)
    good, bad = rng.integers(1, 60, 2)
    return rng.normal(0, 1, good).round(1), rng.normal(1, 1, bad).round(1)


@pytest.mark.parametrize("good_and_bad", [*map(drawn, range(8)), (np.zeros(3), np.zeros(2))])
def test_curves_and_the_areas_below_them(ask: Ask, good_and_bad: tuple[Floats, Floats]) -> None:
    good, bad = good_and_bad
    curve = ask(
        "(s, good, bad) => s.curve(good, bad).map((p) => [p.falseRate, p.detected, p.precision])",
        good.tolist(),
        bad.tolist(),
    )
    false, detected, precision = np.array(curve).T
    ours = metrics.roc_curve(good, bad)
    assert false == pytest.approx(ours[0], rel=1e-12)
    assert detected == pytest.approx(ours[1], rel=1e-12)
    whole = metrics.image_metrics(good, bad, seed=0, draws=2)
    area = (np.diff(false) * (detected[1:] + detected[:-1]) / 2).sum()
    assert area == pytest.approx(whole.auroc.value, rel=1e-12)
    assert (np.diff(detected) * precision[1:]).sum() == pytest.approx(
        whole.average_precision.value, rel=1e-12
    )


def test_thresholds_of_the_curve_flag_its_images(ask: Ask) -> None:
    """Each point is of the images that score as high as its threshold, or higher; the first is of none."""
    good, bad = drawn(5)
    points = ask("(s, good, bad) => s.curve(good, bad).slice(1)", good.tolist(), bad.tolist())
    assert [point["threshold"] for point in points] == sorted({*good, *bad}, reverse=True)
    for point in points:
        assert point["falseRate"] == np.mean(good >= point["threshold"])
        assert point["detected"] == np.mean(bad >= point["threshold"])
