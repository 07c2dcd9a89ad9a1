import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from onlygood.anomaly.evaluation import metrics
from onlygood.anomaly.evaluation.metrics import PixelCurves, auroc, image_metrics, per_defect, rate
from onlygood.runtime.errors import OnlygoodError

# Few distinct values, so that ties are the rule.
tied = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=30).map(np.array)


def test_by_hand():
    # Descending: 9b 8b 7g 5b 5g 3b 1g. Pairs won by b: 9→3, 8→3, 5→1+½, 3→1 of 12.
    found = image_metrics(np.array([7.0, 5.0, 1.0]), np.array([9.0, 8.0, 5.0, 3.0]), seed=0)
    assert found.auroc.value == pytest.approx(8.5 / 12)
    # Precision where recall rises: 1, 1, 3/5 (the tie is flagged together), 4/6.
    assert found.average_precision.value == pytest.approx((1 + 1 + 3 / 5 + 4 / 6) / 4)
    assert found.fpr95.value == pytest.approx(2 / 3)  # all four needed: threshold 3 flags 7 and 5
    assert found.f1_max.value == pytest.approx(2 * 4 / (4 + 2 + 4))  # at 3; at 8 it is 4/6
    assert found.f1_threshold == 3.0


def test_perfect_and_useless_and_inverted():
    good, bad = np.arange(5.0), np.arange(5.0) + 10
    assert image_metrics(good, bad, seed=0)[:4] == tuple(
        metrics.Estimate(value, value, value) for value in (1.0, 1.0, 0.0, 1.0)
    )
    assert auroc(np.ones(4), np.ones(7)) == 0.5
    assert auroc(bad, good) == 0.0


@given(tied, tied)
def test_equal_to_scikit_learn(good, bad):
    labels = np.repeat([0, 1], [len(good), len(bad)])
    scores = np.concatenate([good, bad])
    found = image_metrics(good, bad, seed=0, draws=2)
    assert found.auroc.value == pytest.approx(roc_auc_score(labels, scores))
    assert found.average_precision.value == pytest.approx(average_precision_score(labels, scores))
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.fpr95.value == pytest.approx(fpr[tpr >= 0.95 - 1e-12][0])
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert found.f1_max.value == pytest.approx(f1.max())
    predicted = scores >= found.f1_threshold
    hits = np.sum(predicted & (labels == 1))
    assert 2 * hits / (predicted.sum() + len(bad)) == pytest.approx(f1.max())


@given(tied, tied)
def test_only_the_order_matters(good, bad):
    before = image_metrics(good, bad, seed=1, draws=20)
    after = image_metrics(np.exp(good / 3) - 50, np.exp(bad / 3) - 50, seed=1, draws=20)
    assert before[:4] == after[:4]


def test_bootstrap_is_that_of_a_loop_and_stratified():
    rng = np.random.default_rng(3)
    good, bad = rng.normal(0, 1, 40), rng.normal(1, 1, 25)
    found = image_metrics(good, bad, seed=5, draws=4000).auroc
    drawn = [
        roc_auc_score(
            np.repeat([0, 1], [40, 25]), np.concatenate([rng.choice(good, 40), rng.choice(bad, 25)])
        )
        for _ in range(1000)
    ]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)
    assert found.low < found.value < found.high
    assert found == image_metrics(good, bad, seed=5, draws=4000).auroc
    assert found != image_metrics(good, bad, seed=6, draws=4000).auroc


def test_interval_narrows_with_more_images():
    rng = np.random.default_rng(0)
    few, many = (image_metrics(rng.normal(0, 1, n), rng.normal(1, 1, n), seed=0).auroc for n in (20, 2000))
    assert many.high - many.low < (few.high - few.low) / 5


def test_bootstrap_in_steps(monkeypatch):
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0, 1, 30), rng.normal(1, 1, 30)
    whole = image_metrics(good, bad, seed=0, draws=2000)
    monkeypatch.setattr(metrics, "_CELLS", 60 * 7)
    steps = image_metrics(good, bad, seed=0, draws=2000)
    assert np.allclose(steps[:4], whole[:4], atol=0.03)


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ([], [1.0], "no good images"),
        ([1.0], [], "no anomalous images"),
        ([1.0, np.nan], [2.0], "1 scores of good images are not finite"),
        ([1.0], [np.inf], "1 scores of anomalous images are not finite"),
    ],
)
def test_what_cannot_be_measured(good, bad, words):
    with pytest.raises(OnlygoodError, match=words):
        image_metrics(np.array(good), np.array(bad), seed=0)


def test_per_defect():
    found = per_defect(
        np.array([1.0, 2.0]), np.array([3.0, 0.0, 1.5]), ["hole", "crack", "crack"], seed=0, draws=50
    )
    assert {name: (estimate.value, n) for name, (estimate, n) in found.items()} == {
        "crack": (0.25, 2),
        "hole": (1.0, 1),
    }


@given(st.integers(1, 300), st.data())
def test_rates_have_clopper_pearson_intervals(total, data):
    hits = data.draw(st.integers(0, total))
    exact = binomtest(hits, total).proportion_ci(0.95, "exact")
    assert rate(hits, total) == pytest.approx((hits / total, exact.low, exact.high), abs=1e-9)


def test_rule_of_three():
    assert rate(0, 100).low == 0
    assert rate(0, 100).high == pytest.approx(1 - 0.025 ** (1 / 100))
    with pytest.raises(OnlygoodError):
        rate(0, 0)


def test_bands_are_those_of_a_loop():
    """At each false-alarm rate the best detection rate; the precision where at least so many are detected."""
    good, bad = np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 3.5, 5.0])  # rates are quarters, as the grid
    thresholds, good_at, bad_at = metrics._levels(good, bad)
    goods, bads = next(metrics._resampled(good_at, bad_at, len(thresholds), 3, 200))
    detected, precise = [], []
    for alarms, hits in zip(np.cumsum(goods, axis=1).tolist(), np.cumsum(bads, axis=1).tolist(), strict=True):
        for share in (0, 0.25, 0.5, 0.75, 1):
            detected.append(max([0, *(h for a, h in zip(alarms, hits, strict=True) if a <= share * 4)]) / 3)
            enough = next(k for k, h in enumerate(hits) if h >= max(1, share * 3))
            precise.append(hits[enough] / (hits[enough] + alarms[enough]))
    roc, precision = metrics.curve_bands(good, bad, seed=3, points=5, draws=200)
    for found, values in ((roc, detected), (precision, precise)):
        wanted = np.quantile(np.reshape(values, (200, 5)), [0.025, 0.975], axis=0)
        assert found == pytest.approx(wanted)


def test_roc_curve_by_hand():
    false, true = metrics.roc_curve(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]


# --- pixels


def curves(pairs) -> PixelCurves:
    found = PixelCurves(np.concatenate([np.ravel(heatmap) for heatmap, _ in pairs]).astype(np.float32))
    for heatmap, mask in pairs:
        found.add(np.asarray(heatmap, np.float32), np.asarray(mask, bool))
    return found


def naive_aupro(pairs, limit=0.3) -> float:
    """Every distinct value a threshold, region by region."""
    values = np.unique(np.concatenate([np.ravel(heatmap) for heatmap, _ in pairs]))[::-1]
    good = np.concatenate([heatmap[~mask] for heatmap, mask in pairs])
    regions = []
    for heatmap, mask in pairs:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [heatmap[labels == i + 1] for i in range(count)]
    x = np.array([0.0, *(np.mean(good >= v) for v in values)])
    y = np.array([0.0, *(np.mean([np.mean(r >= v) for r in regions]) for v in values)])
    inside = x <= limit
    x_cut = np.append(x[inside], limit)
    y_cut = np.append(y[inside], np.interp(limit, x, y))
    return float(np.sum(np.diff(x_cut) * (y_cut[1:] + y_cut[:-1]) / 2) / limit)


def test_aupro_by_hand():
    # Ten good pixels 0…9 (as a row) and two regions: of one pixel at 9.5, of two pixels at 7.5 and 0.5.
    heatmap = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9.5, -1, 7.5, 0.5, -1]])
    mask = np.zeros((1, 15), bool)
    mask[0, [10, 12, 13]] = True
    # FPR 0: overlap ½ (region one whole, region two none). After 9 and 8, at FPR 2/12, 7.5 lifts it to ¾.
    found = curves([(heatmap, mask)]).metrics(seed=0, draws=10)
    assert found.aupro.value == pytest.approx((2 / 12 * 0.5 + (0.3 - 2 / 12) * 0.75) / 0.3)
    assert found.aupro_05.value == pytest.approx(0.5)  # the first good pixel is a share of 1/12
    # Descending: 9.5 bad; 9, 8 good; 7.5 bad; 7 … 1 good; 0.5 bad: precisions 1, 2/4 and 3/12.
    assert found.average_precision.value == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert found.regions == 2
    labels = mask.reshape(-1)
    assert found.auroc.value == pytest.approx(roc_auc_score(labels, heatmap.reshape(-1)))


def test_pixels_touching_by_a_corner_are_one_region():
    mask = np.eye(4, dtype=bool)
    assert curves([(mask, mask)]).metrics(seed=0, draws=2).regions == 1


def test_perfect_and_uninformative_heatmaps():
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:5] = True
    perfect = curves([(mask, mask), (np.zeros((8, 8)), ~np.ones((8, 8), bool))]).metrics(seed=0, draws=20)
    assert [estimate.value for estimate in perfect[:4]] == [1.0] * 4
    flat = curves([(np.ones((8, 8)), mask)]).metrics(seed=0, draws=20)
    assert [estimate.value for estimate in flat[:4]] == pytest.approx([0.5, 6 / 64, 0.15, 0.025])


@given(st.integers(0, 1000))
def test_unbinned_where_there_are_few_values(seed):
    rng = np.random.default_rng(seed)
    pairs = [(rng.integers(0, 6, (7, 9)).astype(float), rng.random((7, 9)) < 0.2) for _ in range(3)]
    assume(any(mask.any() for _, mask in pairs))
    found = curves(pairs).metrics(seed=0, draws=2)
    assert found.aupro.value == pytest.approx(naive_aupro(pairs), abs=1e-6)
    assert found.aupro_05.value == pytest.approx(naive_aupro(pairs, 0.05), abs=1e-6)
    labels = np.concatenate([mask.reshape(-1) for _, mask in pairs])
    values = np.concatenate([heatmap.reshape(-1) for heatmap, _ in pairs])
    assert found.average_precision.value == pytest.approx(average_precision_score(labels, values))


def test_binning_error_is_a_bound(monkeypatch):
    monkeypatch.setattr(metrics, "BINS", 64)
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(4):
        mask = np.zeros((40, 40), bool)
        mask[5:15, 5:12] = mask[25:30, 20:35] = True
        pairs.append(((rng.normal(0, 1, (40, 40)) + mask * 1.5).astype(np.float32), mask))
    found = curves(pairs).metrics(seed=0, draws=50)
    labels = np.concatenate([mask.reshape(-1) for _, mask in pairs])
    values = np.concatenate([heatmap.reshape(-1) for heatmap, _ in pairs])
    exact_roc, exact_ap = roc_auc_score(labels, values), average_precision_score(labels, values)
    assert abs(found.auroc.value - exact_roc) < found.binning_error < 0.1
    assert abs(found.aupro.value - naive_aupro(pairs)) < found.binning_error
    assert abs(found.aupro_05.value - naive_aupro(pairs, 0.05)) < found.binning_error
    assert abs(found.average_precision.value - exact_ap) < found.ap_binning_error < 0.2
    monkeypatch.setattr(metrics, "BINS", 2048)
    fine = curves(pairs).metrics(seed=0, draws=50)
    assert fine.binning_error < 1e-3
    assert fine.ap_binning_error < 0.01
    assert fine.auroc.value == pytest.approx(exact_roc, abs=1e-4)
    assert fine.average_precision.value == pytest.approx(exact_ap, abs=1e-3)
    assert fine.aupro.low <= fine.aupro.value <= fine.aupro.high


def test_bins_are_fine_where_few_pixels_are_defects():
    """One pixel in 5,000 is a defect: bins at even quantiles would hold all of them in the highest one."""
    rng = np.random.default_rng(0)
    mask = np.zeros((500, 500), bool)
    mask[100:105, 100:110] = True
    heatmap = (rng.normal(0, 1, mask.shape) + 3.5 * mask).astype(np.float32)
    found = curves([(heatmap, mask)]).metrics(seed=0, draws=2)
    exact = average_precision_score(mask.reshape(-1), heatmap.reshape(-1))
    assert 0.1 < exact < 0.9
    assert found.average_precision.value == pytest.approx(exact, abs=0.01)
    assert abs(found.average_precision.value - exact) < found.ap_binning_error


def test_only_the_order_of_heatmap_values_matters():
    rng = np.random.default_rng(1)
    mask = rng.random((20, 20)) < 0.1
    heatmap = rng.integers(0, 50, (20, 20)) + 3.0 * mask
    first = curves([(heatmap, mask)]).metrics(seed=0, draws=5)
    second = curves([(heatmap**3 - 7, mask)]).metrics(seed=0, draws=5)
    assert first == second


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    pairs = [(rng.normal(size=(20, 20)), rng.random((20, 20)) < 0.1)]
    whole = curves(pairs).metrics(seed=0, draws=5)
    monkeypatch.setattr(metrics, "_BLOCK", 60)
    blocks = curves(pairs).metrics(seed=0, draws=5)
    assert blocks.auroc == pytest.approx(whole.auroc)
    assert blocks.aupro == pytest.approx(whole.aupro)


def test_pixel_bootstrap_draws_images():
    rng = np.random.default_rng(2)
    mask = np.zeros((10, 10), bool)
    mask[3:6, 3:6] = True
    pairs = [(rng.normal(0, 1, (10, 10)) + shift * mask, mask) for shift in (0, 4, 0, 4)]
    spread = curves(pairs).metrics(seed=0).auroc
    assert spread.high - spread.low > 0.1  # two images show nothing, two show all
    alike = curves([pairs[1]] * 4).metrics(seed=0).auroc
    assert alike.high - alike.low < 1e-6


def test_pixels_that_cannot_be_measured():
    with pytest.raises(OnlygoodError, match="no image with a defect mask"):
        curves([(np.ones((2, 2)), np.zeros((2, 2)))]).metrics(seed=0)
    with pytest.raises(OnlygoodError, match="no defect-free pixel"):
        curves([(np.ones((2, 2)), np.ones((2, 2)))]).metrics(seed=0)


def test_sampled_values_lie_between_the_cells(monkeypatch):
    heatmaps = np.array([[[0, 1]], [[2, 3]], [[4, 5]]], np.float32)
    steps = [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    every = metrics.sample_values(heatmaps)
    assert every.tolist() == [i + step for i in (0, 2, 4) for step in steps * 4]
    monkeypatch.setattr(metrics, "_SAMPLE", 96)
    assert metrics.sample_values(heatmaps).tolist() == [i + step for i in (0, 4) for step in steps * 4]
