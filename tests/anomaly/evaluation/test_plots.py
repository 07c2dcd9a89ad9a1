import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlygood.anomaly.data.datasets import Sample
from onlygood.anomaly.evaluation import overlays, plots
from onlygood.anomaly.evaluation.evaluate import evaluate
from onlygood.anomaly.evaluation.scores import Scored, Scores
from onlygood.runtime.images.files import OUTPUT_MARKER
from onlygood.runtime.images.spec import InputSpec

SPEC = InputSpec(height=16, width=16, channels=1)


def scores(*rows: tuple[str, float], heatmaps=None, path: Path = Path("x.png")) -> Scores:
    """Rows (defect, score); images of 16 x 16 pixels."""
    scored = [Scored(Sample(path, int(name != "good"), name), value, 0.5, 16, 16) for name, value in rows]
    heatmaps = np.zeros((len(rows), 4, 4), np.float32) if heatmaps is None else heatmaps
    return Scores(scored, heatmaps, [], 0, 1.0)


@pytest.fixture
def report(make_model, spots, tmp_path) -> Path:
    (spots / "test/good/broken.png").write_bytes(b"")
    evaluate(make_model(), spots, output=tmp_path / "out")
    return tmp_path / "out"


def test_report_is_complete_and_leaves_nothing_half_written(report):
    names = sorted(path.name for path in report.iterdir())
    assert names == [
        OUTPUT_MARKER,
        "metrics.json",
        "overlays",
        "roc.png",
        "scores.csv",
        "scores.png",
        "sheet.png",
    ]
    assert len(list((report / "overlays").iterdir())) == 8  # 4 good, 2 detected, 2 missed
    assert not list(report.rglob("*.tmp"))
    assert json.loads((report / "metrics.json").read_text())["detected"]["achieved"] == 0.5
    for picture in report.rglob("*.png"):
        with Image.open(picture) as image:
            image.load()
    assert Image.open(report / "roc.png").size == (1320, 810)


def test_scores_table_is_sorted_and_names_the_unreadable(report):
    rows = [line.split(",") for line in (report / "scores.csv").read_text().splitlines()]
    assert rows[0] == ["path", "label", "defect", "score", "p_value", "anomalous", "error"]
    values = [float(row[3]) for row in rows[1:-1]]
    assert values == sorted(values, reverse=True)
    assert [row[5] for row in rows[1:-1]] == ["1", "1"] + ["0"] * 6
    assert rows[-1][0].endswith("broken.png")
    assert rows[-1][1:] == ["0", "good", "", "", "", "file is empty"]


def test_pictures_are_the_same_every_time(make_model, spots, tmp_path):
    model = make_model()
    for name in ("one", "two"):
        evaluate(model, spots, output=tmp_path / name)
    for picture in (tmp_path / "one").rglob("*.png"):
        other = tmp_path / "two" / picture.relative_to(tmp_path / "one")
        assert picture.read_bytes() == other.read_bytes()


def test_overlay_is_hottest_where_the_heatmap_is():
    pixels = np.full((8, 8, 3), 100, np.uint8)
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[2, 5], heatmap[4, 4], heatmap[6, 6] = 1.0, 0.5, 0.1
    drawn = overlays.overlay(pixels, heatmap, (0.2, 1.0)).astype(int)
    change = np.abs(drawn - 100).sum(axis=2)
    assert np.unravel_index(change.argmax(), change.shape) == (2, 5)
    assert drawn[2, 5].sum() > drawn[4, 4].sum()  # hotter is also brighter: readable without colour
    assert change[4, 4] > 0
    change[2, 5] = change[4, 4] = 0
    assert not change.any()  # nothing below the beginning of the range


def test_overlay_does_not_cover_what_was_never_seen():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    assert (overlays.overlay(pixels, np.full((2, 2), -np.inf, np.float32), (0, 1)) == 100).all()


def test_outline_surrounds_the_defect():
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    drawn = overlays.overlay(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.float32), (1, 2), mask)
    outline = (drawn == overlays.OUTLINE).all(axis=2)
    expected = np.zeros((9, 9), bool)
    expected[2:7, 2:7] = True
    assert (outline == (expected & ~mask)).all()


def test_picture_shows_the_spot_where_it_lies(draw):
    spot = (8, 16, 16, 24)
    path = draw("a.png", 20, spots=[(spot, 120)])
    image = Scored(Sample(path, 1, "spot"), 1.0, 0.1, 32, 32)
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[1, 2] = 1
    pixels, drawn = overlays.picture(image, heatmap, SPEC, (0.3, 1.0))
    assert pixels.shape == drawn.shape == (32, 32, 3)
    change = np.abs(drawn.astype(int) - pixels).sum(axis=2)
    y, x = np.unravel_index(change.argmax(), change.shape)
    assert 8 <= y < 16
    assert 16 <= x < 24
    assert not change[:4].any()


def test_large_images_are_shown_smaller_and_vanished_ones_not_at_all(draw, tmp_path):
    path = draw("big.png", 20, size=(300, 1280))
    image = Scored(Sample(path, 1, "spot"), 1.0, 0.1, 1280, 300)
    pixels, _ = overlays.picture(image, np.zeros((4, 4), np.float32), SPEC, (0, 1))
    assert pixels.shape == (150, 640, 3)
    path.unlink()
    assert overlays.picture(image, np.zeros((4, 4), np.float32), SPEC, (0, 1)) is None


def test_an_unreadable_mask_only_costs_the_outline(draw, tmp_path):
    sample = Sample(draw("a.png", 20), 1, "spot", tmp_path / "gone.png")
    _, drawn = overlays.picture(Scored(sample, 1.0, 0.1, 32, 32), np.zeros((4, 4), np.float32), SPEC, (1, 2))
    assert (drawn == 20).all()


def test_sheet_takes_defect_types_by_turns():
    found = scores(
        ("good", 3.0),
        ("good", 9.0),
        ("a", 12.0),
        ("a", 11.0),
        ("a", 10.5),
        ("b", 10.2),
        ("c", 1.0),
        ("c", 2.0),
    )
    assert list(overlays.chosen(found, threshold=10.0, count=3).values()) == [[1, 0], [2, 5, 3], [7, 6]]


def test_heat_begins_above_the_good_and_is_full_at_the_anomalous():
    heatmaps = np.zeros((4, 4, 4), np.float32)
    heatmaps[:2] = np.linspace(0, 1, 32).reshape(2, 4, 4)
    heatmaps[2, 0, 0], heatmaps[3, 0, 0] = 3, 5
    rows = [("good", 0.0), ("good", 0.0), ("a", 1.0), ("a", 1.0)]
    low, high = overlays.heat_range(scores(*rows, heatmaps=heatmaps))
    assert low == pytest.approx(0.99, abs=0.01)
    assert high == 4
    assert overlays.heat_range(scores(*rows)) == (0.0, 1.0)  # all the same: nothing is coloured


def test_overlay_names_are_unique_and_safe():
    image = Scored(Sample(Path("a/../we ird$é.png"), 1, "x/y"), 1.0, 0.1, 8, 8)
    assert overlays.overlay_name(7, image) == "0007_x_y_we_ird_.png"


def strips(rows, threshold=1.0):
    found = scores(*rows)
    names = {name for name, _ in rows if name != "good"}
    result = {
        "threshold": threshold,
        "per_defect": {name: {"auroc": 0.5, "low": 0.4, "high": 0.6, "n": 1} for name in names},
    }
    return plots.score_figure(result, found).axes[0]


def test_no_bar_of_the_histogram_crosses_the_threshold():
    rng = np.random.default_rng(0)
    rows = [("good", v) for v in rng.normal(0, 1, 50)] + [("dent", v) for v in rng.normal(2, 1, 20)]
    axes = strips(rows)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches if bar.get_height() > 0]
    assert bars
    assert not [bar for bar in bars if bar[0] < 1.0 - 1e-6 and bar[1] > 1.0 + 1e-6]
    words = [text.get_text() for text in axes.texts]
    flagged = sum(value > 1.0 for name, value in rows if name == "dent")
    assert f"{flagged} of 20 detected" in words
    assert axes.get_xscale() == "linear"


def test_far_scores_compress_the_scale():
    axes = strips([("good", float(v)) for v in range(30)] + [("hole", 1e5)], threshold=28.0)
    assert axes.get_xscale() == "function"
    assert "compressed" in axes.get_xlabel()
    left, right = axes.get_xlim()
    assert left <= 0
    assert right >= 1e5


def test_equal_scores_can_be_drawn():
    assert strips([("good", 1.0), ("good", 1.0), ("hole", 1.0)]).get_xlim()[0] < 1.0


def test_roc_goes_through_the_threshold_of_the_model(make_model, spots):
    result = evaluate(make_model(), spots)
    rows = [("good", v / 255) for v in (10, 20, 30, 40)]
    rows += [("bright", v / 255) for v in (200, 201)] + [("faint", v / 255) for v in (35, 36)]
    lines = plots.roc_figure(result, scores(*rows)).axes[0].lines
    curve = {tuple(point) for point in lines[-2].get_xydata()}
    assert tuple(lines[-1].get_xydata()[0]) == (0.0, 0.5)
    assert (0.0, 0.5) in curve
    assert (0.25, 1.0) in curve


def test_many_defect_types_are_shortened_in_the_roc_words():
    spread = {"value": 0.9, "low": 0.8, "high": 1.0}
    share = {"achieved": 0.1, "low": 0.0, "high": 0.2, "promised": 0.05}
    kinds = {f"kind{i:02d}": {"auroc": i / 20, "low": 0, "high": 1, "n": 1} for i in range(15)}
    result = {"image_auroc": spread, "image_ap": spread, "pixel_auroc": None, "aupro": None}
    result |= {"false_alarms": share, "detected": share, "per_defect": kinds}
    names = [row[0] for row in plots._roc_words(result)]
    assert "… 6 more" in names
    assert names[-1] == "kind00"  # the worst are never left out
    assert "kind14" in names
    assert "pixel AUROC" not in names


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_and_with_formula_signs_are_drawn(make_model, draw, tmp_path):
    draw("d/good/0.png", 10)
    draw("d/裂纹 $x_$/傷$^$.png", 200)
    evaluate(make_model(), tmp_path / "d", output=tmp_path / "out")
    assert len(list((tmp_path / "out/overlays").iterdir())) == 2
