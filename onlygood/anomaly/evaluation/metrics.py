"""How well scores tell anomalous images from good ones, with 95 % intervals.

Higher scores mean more anomalous, and only their order matters: every metric here is the same for scores and
for any strictly increasing function of them. Ties are not broken: images of equal score are flagged together.

Intervals are stratified percentile bootstrap intervals: good and anomalous images are resampled separately,
so that their numbers do not change. An interval says how the result varies with other test images, not with
another training. If all draws agree (a perfect separation), the interval has no width and is too narrow.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.heat import on_image
from onlygood.runtime.model.calibration import beta_quantile

Floats = NDArray[np.floating[Any]]

DRAWS = 1000  # of the bootstrap
CONFIDENCE = 0.95
_CELLS = 4_000_000  # largest matrix of a bootstrap step, in numbers


class Estimate(NamedTuple):
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


class ImageMetrics(NamedTuple):
    """How good the ranking of the images is, whatever the threshold."""

    auroc: Estimate
    average_precision: Estimate
    fpr95: Estimate  # false-alarm rate at the largest threshold that detects 95 %
    f1_max: Estimate
    # "score >= this" has the best F1; test labels choose it, so it is not for use in production.
    f1_threshold: float


def image_metrics(good: Floats, bad: Floats, *, seed: int, draws: int = DRAWS) -> ImageMetrics:
    """Metrics of the scores of good images ``(n,)`` and of anomalous ones ``(m,)``.

    Raises:
        OnlygoodError: one of the two arrays is empty, or a score is not finite.
    """
    thresholds, good_at, bad_at = _levels(good, bad)
    levels = len(thresholds)
    point = _curve_metrics(_count(good_at, levels), _count(bad_at, levels))
    drawn = [_curve_metrics(*counts) for counts in _resampled(good_at, bad_at, levels, seed, draws)]
    roc, precision, fpr, f1 = (
        interval(float(value[0]), np.concatenate([metrics[i] for metrics in drawn]))
        for i, value in enumerate(point[:-1])
    )
    return ImageMetrics(roc, precision, fpr, f1, f1_threshold=float(thresholds[point[-1][0]]))


def auroc(good: Floats, bad: Floats) -> float:
    """Probability that an anomalous image scores higher than a good one, ties counting half."""
    thresholds, good_at, bad_at = _levels(good, bad)
    return float(_curve_metrics(_count(good_at, len(thresholds)), _count(bad_at, len(thresholds)))[0][0])


def per_defect(
    good: Floats, bad: Floats, defects: Sequence[str], *, seed: int, draws: int = DRAWS
) -> dict[str, tuple[Estimate, int]]:
    """AUROC of each defect type against all good images, and its number of images.

    ``defects`` has one name for each score in ``bad``.
    """
    names = np.asarray(defects)
    found = {}
    for name in sorted(set(defects)):
        chosen = bad[names == name]
        found[name] = (image_metrics(good, chosen, seed=seed, draws=draws).auroc, len(chosen))
    return found


def rate(hits: int, total: int) -> Estimate:
    """``hits / total`` with its Clopper-Pearson interval, which is rather too wide than too narrow.

    Raises:
        OnlygoodError: ``hits`` and ``total`` are not a rate.
    """
    if not 0 <= hits <= total or total == 0:
        raise OnlygoodError(f"{hits} of {total} is no rate")
    tail = (1 - CONFIDENCE) / 2
    low = beta_quantile(hits, total, tail) if hits else 0.0
    high = beta_quantile(hits + 1, total, 1 - tail) if hits < total else 1.0
    return Estimate(hits / total, low, high)


def roc_curve(good: Floats, bad: Floats) -> tuple[Floats, Floats]:
    """False-alarm and detection rates ``(thresholds + 1,)`` from (0, 0) to (1, 1)."""
    thresholds, good_at, bad_at = _levels(good, bad)
    false, true = (np.cumsum(_count(at, len(thresholds))) for at in (good_at, bad_at))
    return np.insert(false / len(good), 0, 0.0), np.insert(true / len(bad), 0, 0.0)


def curve_bands(
    good: Floats, bad: Floats, *, seed: int, points: int = 101, draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """95 % bands, each ``(2, points)`` of lowest and highest values, of the ROC and of the precision.

    The first is of the detection rate at false-alarm rates, the second of the precision at the largest
    threshold that detects a rate at least; both at rates spaced evenly from 0 to 1. They hold at each rate by
    itself, not at all at once.
    """
    thresholds, good_at, bad_at = _levels(good, bad)
    grid = np.linspace(0, 1, points)
    detected, precise = [], []
    for counts in _resampled(good_at, bad_at, len(thresholds), seed, draws):
        for false, true in zip(*(np.cumsum(kind, axis=1) for kind in counts), strict=True):
            corners = np.insert(false / false[-1], 0, 0.0), np.insert(true / true[-1], 0, 0.0)
            detected.append(np.interp(grid, *corners))
            level = np.searchsorted(true, np.maximum(grid * true[-1] - 1e-9, 1))
            precise.append(true[level] / (true[level] + false[level]))
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return np.quantile(detected, tails, axis=0), np.quantile(precise, tails, axis=0)


def interval(value: float, drawn: Floats) -> Estimate:
    """Percentile interval of the bootstrap values ``(draws,)``, widened to hold the value itself."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _levels(good: Floats, bad: Floats) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """The distinct scores, descending, and the index of each image's score among them."""
    for scores, kind in ((good, "good"), (bad, "anomalous")):
        if len(scores) == 0:
            raise OnlygoodError(f"no {kind} images to measure on; both good and anomalous ones are needed")
        if not np.isfinite(scores).all():
            raise OnlygoodError(
                f"{np.sum(~np.isfinite(scores))} scores of {kind} images are not finite numbers"
            )
    both = np.concatenate([good, bad])
    ascending, at = np.unique(both, return_inverse=True)
    at = len(ascending) - 1 - at.reshape(-1)
    return ascending[::-1], at[: len(good)], at[len(good) :]


def _count(at: NDArray[np.intp], levels: int) -> NDArray[np.intp]:
    """Images per score ``(1, levels)``."""
    return np.bincount(at, minlength=levels)[None]


def _resampled(
    good_at: NDArray[np.intp], bad_at: NDArray[np.intp], levels: int, seed: int, draws: int
) -> Iterator[list[NDArray[np.intp]]]:
    """Counts per score ``(B, levels)`` of resampled good and anomalous images, B draws at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // levels)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        counts = []
        for at in (good_at, bad_at):
            drawn = at[rng.integers(len(at), size=(rows, len(at)))] + levels * np.arange(rows)[:, None]
            counts.append(np.bincount(drawn.reshape(-1), minlength=rows * levels).reshape(rows, levels))
        yield counts


def _curve_metrics(
    good: NDArray[np.intp], bad: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.intp]]:
    """AUROC, AP, FPR at 95 % TPR, best F1 and its level, each ``(B,)``, of counts ``(B, levels)``."""
    false, true = np.cumsum(good, axis=1), np.cumsum(bad, axis=1)
    n, m = false[:, -1:], true[:, -1:]
    auroc = ((true - bad / 2) * good).sum(axis=1) / (n * m)[:, 0]
    flagged = np.maximum(true + false, 1)  # nothing is flagged above the highest drawn score
    precision = (bad * (true / flagged)).sum(axis=1) / m[:, 0]
    enough = np.argmax(true >= 0.95 * m - 1e-9, axis=1)  # the first level; 0.95 m may be rounded up
    fpr95 = np.take_along_axis(false, enough[:, None], axis=1)[:, 0] / n[:, 0]
    f1 = 2 * true / (true + false + m)
    best = np.argmax(f1, axis=1)
    return auroc, precision, fpr95, f1.max(axis=1), best


# --- pixels ------------------------------------------------------------------------------------------

BINS = 2048
FPR_LIMIT = 0.3  # of AUPRO, as in Bergmann et al., "The MVTec Anomaly Detection Dataset", 2021
FPR_LIMIT_SHARP = 0.05  # as in MVTec AD 2, Heckler-Kram et al. 2025, arXiv:2503.21622
_FINEST = 1e-6  # of all pixels, the share in the highest bin
_BLOCK = 1 << 20  # pixels that are sorted into bins at once
_SAMPLE = 4_000_000  # the bins are chosen from at most so many values
_EVERY_NEIGHBOR = np.ones((3, 3), int)


class PixelMetrics(NamedTuple):
    """How well heatmaps show where the defects are."""

    auroc: Estimate
    average_precision: Estimate
    aupro: Estimate  # to FPR_LIMIT
    aupro_05: Estimate  # to FPR_LIMIT_SHARP
    binning_error: float  # no area differs by more than this from that of unbinned heatmaps
    ap_binning_error: float  # the same of the average precision
    regions: int


class PixelCurves:
    """Collects heatmaps and masks image by image, and keeps three histograms of each instead of the pixels.

    Heatmap values are sorted into at most `BINS` bins. The edges are quantiles of ``values`` ``(n,)``, a
    sample of the values to be added; if there are fewer distinct values, each has its own bin. Half of the
    edges lie evenly, half ever closer towards the highest values, since defects are few pixels. An image
    then takes 24 kB, whatever its size. Between two edges the curves are taken as straight lines. They rise
    monotonically, so the area in a bin is wrong by at most half of its width times its height; the sum of
    these is ``binning_error``.

    The average precision is that of all pixels, those of a bin flagged together. A heatmap without
    information gets the share of defect pixels.

    AUPRO is the mean overlap with the defect regions (connected pixels, corners included) as a function of
    the share of defect-free pixels that are flagged, integrated up to a limit and divided by it. Every region
    counts the same, large or small. A heatmap without information gets half of the limit.
    """

    def __init__(self, values: NDArray[np.float32]) -> None:
        edges = np.unique(values)
        if len(edges) > BINS:
            half = BINS // 2
            levels = np.concatenate([np.linspace(0, 1, half), 1 - np.geomspace(1, _FINEST, half)])
            edges = np.unique(np.quantile(values, levels, method="inverted_cdf"))
        self._edges = edges[1:]
        self._rows: list[tuple[Floats, Floats, Floats]] = []  # good pixels, defect pixels, overlap per bin
        self._regions: list[int] = []

    def add(self, heatmap: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Add an image: its heatmap ``(H, W)`` and its defect mask ``(H, W)``, all False for a good image."""
        from scipy import ndimage  # noqa: PLC0415 - the edge has no scipy, and measures images all the same

        bins = len(self._edges) + 1
        regions, count = ndimage.label(mask, structure=_EVERY_NEIGHBOR)
        sizes = np.bincount(regions.reshape(-1), minlength=count + 1)
        weights = 1.0 / np.maximum(sizes, 1)
        good, bad, overlap = np.zeros(bins), np.zeros(bins), np.zeros(bins)
        rows = max(1, _BLOCK // heatmap.shape[1])
        for start in range(0, len(heatmap), rows):
            inside = mask[start : start + rows].reshape(-1)
            at = np.searchsorted(self._edges, heatmap[start : start + rows].reshape(-1), side="right")
            good += np.bincount(at[~inside], minlength=bins)
            bad += np.bincount(at[inside], minlength=bins)
            region = regions[start : start + rows].reshape(-1)[inside]
            overlap += np.bincount(at[inside], weights[region], minlength=bins)
        self._rows.append((good.astype(np.float32), bad.astype(np.float32), overlap.astype(np.float32)))
        self._regions.append(count)

    def metrics(self, *, seed: int, draws: int = DRAWS) -> PixelMetrics:
        """All metrics over all pixels, with intervals from resampling whole images.

        Raises:
            OnlygoodError: no image has a defect region, or no image has a defect-free pixel.
        """
        regions = np.array(self._regions)
        defective = np.flatnonzero(regions > 0)
        if not len(defective):
            raise OnlygoodError("no image with a defect mask to measure pixels on")
        histograms = [np.stack(rows) for rows in zip(*self._rows, strict=True)]
        if not histograms[0].any():
            raise OnlygoodError("the masks leave no defect-free pixel to measure on")
        everything = np.ones((1, len(regions)))
        areas, errors = _pixel_areas(everything, histograms, regions)
        drawn = []
        for weights in _drawn_images(np.flatnonzero(regions == 0), defective, seed, draws):
            drawn.append(_pixel_areas(weights, histograms, regions)[0])
        samples = np.concatenate(drawn, axis=1)
        roc, precision, pro, sharp = (
            interval(float(area[0]), sample) for area, sample in zip(areas, samples, strict=True)
        )
        of_roc, of_precision, *of_pros = errors[:, 0].tolist()
        return PixelMetrics(
            roc, precision, pro, sharp, max(of_roc, *of_pros), of_precision, int(regions.sum())
        )


def sample_values(heatmaps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values ``(n,)`` of some of ``heatmaps`` ``(N, h, w)``, interpolated between cells as for pixels."""
    height, width = (4 * cells for cells in heatmaps.shape[1:])
    some = heatmaps[:: 1 + len(heatmaps) * height * width // _SAMPLE]
    return np.concatenate([on_image(one, width, height, (0, 0, width, height)).reshape(-1) for one in some])


def _drawn_images(
    good: NDArray[np.intp], bad: NDArray[np.intp], seed: int, draws: int
) -> Iterator[NDArray[np.intp]]:
    """How often each image is drawn, ``(B, N)`` for B draws at a time; good and defective ones apart."""
    rng = np.random.default_rng(seed)
    total = len(good) + len(bad)
    step = max(1, _CELLS // max(BINS, total))
    for begin in range(0, draws, step):
        rows = min(step, draws - begin)
        counts = np.zeros((rows, total), np.intp)
        for group in (good, bad):
            if len(group):
                drawn = group[rng.integers(len(group), size=(rows, len(group)))]
                np.add.at(counts, (np.arange(rows)[:, None], drawn), 1)
        yield counts


def _pixel_areas(weights: Any, histograms: list[Floats], regions: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """AUROC, AP and AUPRO to both limits ``(4, B)``, and their binning errors.

    Images count ``weights`` ``(B, N)`` times.
    """
    good, bad, overlap = (np.cumsum((weights @ rows)[:, ::-1], axis=1) for rows in histograms)
    false, overlap = good / good[:, -1:], overlap / (weights @ regions)[:, None]
    found = [_area(false, bad / bad[:, -1:], 1.0), _average_precision(good, bad)]
    found += [_area(false, overlap, limit) for limit in (FPR_LIMIT, FPR_LIMIT_SHARP)]
    areas, errors = zip(*found, strict=True)
    return np.stack(areas), np.stack(errors)


def _average_precision(good: Floats, bad: Floats) -> tuple[Floats, Floats]:
    """Average precision ``(B,)`` of cumulated pixels ``(B, K)`` from the highest bin on; its error.

    Whatever the order in a bin, its precisions lie between those with all good and all bad pixels first.
    """
    good_before, bad_before = (np.insert(values, 0, 0.0, axis=1)[:, :-1] for values in (good, bad))
    share = (bad - bad_before) / bad[:, -1:]
    precision, best, worst = (
        hits / np.maximum(hits + alarms, 1)
        for hits, alarms in ((bad, good), (bad, good_before), (bad_before, good))
    )
    error = (share * np.maximum(best - precision, precision - worst)).sum(axis=1)
    return (share * precision).sum(axis=1), error


def _area(x: Floats, y: Floats, limit: float) -> tuple[Floats, Floats]:
    """Mean height ``(B,)`` up to x = limit of curves from (0, 0) through ``x, y`` ``(B, K)``; its error."""
    x, y = (np.insert(values, 0, 0.0, axis=1) for values in (x, y))
    rise, run = np.diff(y), np.diff(x)
    width = np.diff(np.minimum(x, limit))
    kept = np.divide(width, run, out=np.zeros_like(run), where=run > 0)
    area = (width * (y[:, :-1] + rise * kept / 2)).sum(axis=1) / limit
    error = (width * rise * np.where(kept < 1, 1.0, 0.5)).sum(axis=1) / limit
    return area, error
