"""The report of `evaluate`: ROC, score distributions, heatmaps on images, and the numbers."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from onlygood.anomaly.evaluation import metrics
from onlygood.anomaly.evaluation.overlays import chosen, framed, heat_range, overlay_name, pair, picture
from onlygood.anomaly.evaluation.scores import Scores
from onlygood.pretrain.summary.style import BAD, GOOD, LINE, QUIET, STYLE, cut, save
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import replacing
from onlygood.runtime.images.files import display
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.rows.verdicts import csv_line

COLUMNS = 5  # of the contact sheet
SHEET_WORDS = "Colour: heatmap, on one scale for all.  Blue outline: the defect as marked in the data set."


def write_report(folder: Path, result: dict[str, Any], scores: Scores, spec: InputSpec) -> None:
    """Write ``metrics.json``, ``scores.csv``, ``roc.png``, ``scores.png``, ``sheet.png``, ``overlays/``.

    Without good or without anomalous images there is no ``roc.png``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = jsontext.dumps(result, indent=2) + "\n"
    _write(folder / "metrics.json", lambda path: path.write_text(text, encoding="utf-8"))
    table = scores_table(scores, result["threshold"])
    _write(folder / "scores.csv", lambda path: path.write_bytes(table.encode("utf-8", "surrogateescape")))
    if result["image_auroc"] is None:
        (folder / "roc.png").unlink(missing_ok=True)  # left by an earlier evaluation
    else:
        save(roc_figure(result, scores), folder / "roc.png")
    save(score_figure(result, scores), folder / "scores.png")
    rows = chosen(scores, result["threshold"], COLUMNS)
    heat = heat_range(scores)
    pictures = {
        index: found
        for index in {index for row in rows.values() for index in row}
        if (found := picture(scores.scored[index], scores.heatmaps[index], spec, heat)) is not None
    }
    save(sheet_figure(rows, pictures, scores, result["threshold"]), folder / "sheet.png")
    (folder / "overlays").mkdir(exist_ok=True)
    for index, (_, overlaid) in pictures.items():
        name = overlay_name(index, scores.scored[index])
        _write(folder / "overlays" / name, partial(Image.fromarray(overlaid).save, format="PNG"))


def scores_table(scores: Scores, threshold: float) -> str:
    """CSV with one line for each image, highest score first; unreadable images last, without a score."""
    lines = [csv_line(["path", "label", "defect", "score", "p_value", "anomalous", "error"])]
    for image in sorted(scores.scored, key=lambda image: -image.score):
        sample = image.sample
        numbers = [f"{image.score:.9g}", f"{image.p_value:.9g}", int(image.score > threshold), ""]
        lines.append(csv_line([os.fspath(sample.path), sample.label, sample.defect, *numbers]))
    for sample, reason in scores.unreadable:
        lines.append(csv_line([os.fspath(sample.path), sample.label, sample.defect, "", "", "", reason]))
    return "".join(lines)


# --- figures


def roc_figure(result: dict[str, Any], scores: Scores) -> Figure:
    """ROC of all anomalous images, thin lines for the defect types, and the model's own threshold on it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.8, 5.4))
        axes = figure.add_axes((0.09, 0.11, 0.5, 0.81))
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=(0, (2, 3)))
        good = scores.of(0)
        if len(result["per_defect"]) > 1:
            for name in result["per_defect"]:
                axes.plot(*metrics.roc_curve(good, _of_defect(scores, name)), color=BAD, lw=0.8, alpha=0.35)
        axes.plot(*metrics.roc_curve(good, scores.of(1)), color=BAD, lw=2.2, solid_capstyle="round")
        axes.plot(*_operating_point(result), "o", color=LINE, ms=8, zorder=5, clip_on=False)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set(xlabel="good images flagged (false alarms)", ylabel="anomalous images flagged (detected)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(0.2))
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(f"{result['n_anomalous']} anomalous against {result['n_good']} good images")
        axes.grid(color="#EBEBEB", lw=0.8)
        axes.set_axisbelow(True)
        _beside(axes, _roc_words(result))
    return figure


def score_figure(result: dict[str, Any], scores: Scores) -> Figure:
    """Scores of the good images and of each defect type, one strip each, on one axis with the threshold."""
    threshold = result["threshold"]
    aurocs = {name: found["auroc"] for name, found in result["per_defect"].items()}  # none without good ones
    defects = {image.sample.defect for image in scores.scored if image.sample.label}
    kinds = [("good", scores.of(0))] if len(scores.of(0)) else []
    for name in sorted(defects, key=lambda name: (-aurocs.get(name, 0.0), name)):
        kinds.append((name, _of_defect(scores, name)))
    everything = np.concatenate([values for _, values in kinds])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.5 + 0.72 * len(kinds)), layout="constrained")
        axes = figure.add_subplot()
        bins = _score_axis(axes, everything, threshold)
        for row, (name, values) in enumerate(kinds):
            _strip(axes, -row, values, bins, GOOD if name == "good" else BAD)
            flagged = int(np.sum(values > threshold))
            verb = "false alarms" if name == "good" else "detected"
            text = f"{flagged} of {len(values)} {verb}"
            axes.text(1.01, -row + 0.12, text, transform=axes.get_yaxis_transform(), color=LINE, va="bottom")
            if name in aurocs:
                text = f"AUROC {aurocs[name]:.3f}"
                axes.text(
                    1.01, -row + 0.08, text, transform=axes.get_yaxis_transform(), color=QUIET, va="top"
                )
        axes.axvline(threshold, color=LINE, lw=1.2)
        axes.annotate(
            f"threshold {threshold:.4g}",
            (threshold, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(4, 2),
            textcoords="offset points",
            color=LINE,
        )
        axes.set_yticks([-row + 0.2 for row in range(len(kinds))], [cut(name, 26) for name, _ in kinds])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(ylim=(-len(kinds) + 0.8, 1.0))
        axes.set_title("Scores", pad=20)
    return figure


def sheet_figure(
    rows: dict[str, list[int]],
    pictures: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    scores: Scores,
    threshold: float,
) -> Figure:
    """Contact sheet: each image beside its overlay, one row for each kind of outcome."""
    with mpl.rc_context(STYLE):
        pairs = {index: pair(*both) for index, both in pictures.items()}
        ratio = float(np.median([both.shape[0] / both.shape[1] for both in pairs.values()] or [0.5]))
        width = 2.6
        figure = Figure(figsize=(width * COLUMNS, (width * ratio + 0.8) * len(rows)), layout="constrained")
        parts = np.atleast_1d(np.array(figure.subfigures(len(rows), 1), dtype=object))
        parts[0].text(0.99, 0.985, SHEET_WORDS, ha="right", va="top", size=9, color=QUIET)
        for part, (title, indices) in zip(parts, rows.items(), strict=True):
            shown = [index for index in indices if index in pictures]
            part.suptitle(title if shown else f"{title}: none", x=0.01, ha="left", weight="bold", size=13)
            padded = shown + [-1] * (COLUMNS - len(shown))
            for axes, index in zip(part.subplots(1, COLUMNS, squeeze=False)[0], padded, strict=True):
                axes.set_axis_off()
                if index < 0:
                    continue
                image = scores.scored[index]
                axes.imshow(framed(pairs[index], ratio), interpolation="antialiased")
                side = ">" if image.score > threshold else "≤"
                text = f"{cut(image.sample.defect, 20)}   {image.score:.3g} {side} {threshold:.3g}"
                text += f"\n{cut(display(image.sample.path.name), 32)}"
                axes.set_title(text, size=9, weight="normal", pad=4, color=LINE)
    return figure


def _of_defect(scores: Scores, name: str) -> NDArray[np.float64]:
    return np.array([i.score for i in scores.scored if i.sample.label and i.sample.defect == name])


def _operating_point(result: dict[str, Any]) -> tuple[float, float]:
    """False-alarm and detection rate at the model's threshold."""
    return result["false_alarms"]["achieved"], result["detected"]["achieved"]


def _roc_words(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows (name, value, interval) beside the ROC; headings have no value."""
    names = {
        "AUROC": "image_auroc",
        "average precision": "image_ap",
        "pixel AUROC": "pixel_auroc",
        "AUPRO to 30 %": "aupro",
    }
    rows = [("All images", "", "")]
    for name, key in names.items():
        if (found := result[key]) is not None:
            rows.append((name, f"{found['value']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}"))
    rows += [("", "", ""), ("● Threshold of the model", "", "")]
    for name, key in (("false alarms", "false_alarms"), ("detected", "detected")):
        found = result[key]
        rows.append((name, f"{found['achieved']:.1%}", f"{found['low']:.1%} to {found['high']:.1%}"))
    rows.insert(-1, ("promised at most", f"{result['false_alarms']['promised']:.1%}", ""))
    kinds = sorted(result["per_defect"].items(), key=lambda item: -item[1]["auroc"])
    rows += [("", "", ""), ("AUROC by defect type", "", "")]
    shown = kinds if len(kinds) <= 10 else [*kinds[:4], *kinds[-5:]]
    for name, found in shown:
        rows.append((cut(name, 22), f"{found['auroc']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}"))
    if len(shown) < len(kinds):
        rows.insert(len(rows) - 5, (f"… {len(kinds) - len(shown)} more", "", " "))
    return rows


def _beside(axes: Axes, rows: list[tuple[str, str, str]]) -> None:
    """A small table to the right of the axes, from the top down."""
    for number, (name, value, spread) in enumerate(rows):
        y = 0.985 - 0.047 * number
        heading = not value and not spread
        columns = ((1.05, name, "left"), (1.50, value, "right"), (1.53, spread, "left"))
        for x, text, side in columns:
            color = QUIET if text == spread else LINE
            weight = "bold" if heading else "normal"
            axes.text(
                x, y, text, transform=axes.transAxes, ha=side, va="top", color=color, weight=weight, size=9
            )


def _score_axis(axes: Axes, values: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Set the scale of the score axis; returns bin edges of equal visible width, the threshold among them.

    If a few scores are far out, the scale is the inverse hyperbolic sine around the median, which is linear
    for most scores and logarithmic for the tail.
    """
    low, high = float(min(values.min(), threshold)), float(max(values.max(), threshold))
    bulk = float(np.quantile(values, 0.75) - np.quantile(values, 0.05))
    center = float(np.median(values))

    def squeeze(x: Any) -> Any:
        return np.arcsinh((np.asarray(x) - center) / bulk)

    def stretch(x: Any) -> NDArray[np.float64]:
        return np.asarray(center + bulk * np.sinh(x), np.float64)

    axes.set_xlabel("anomaly score")
    if 0 < 20 * bulk < high - low:
        axes.set_xlabel("anomaly score (compressed scale)")
        axes.set_xscale("function", functions=(squeeze, stretch))
        edges = stretch(_edges(*squeeze([low, threshold, high])))
        ticks = {float(f"{value:.1g}") for value in edges[3 :: len(edges) // 7]}
        axes.set_xticks(sorted(ticks), [f"{value:,.6g}" for value in sorted(ticks)])
    else:
        edges = _edges(low, threshold, high)
    axes.set_xlim(edges[0], edges[-1])
    return edges


def _edges(low: float, threshold: float, high: float, bins: int = 50) -> NDArray[np.float64]:
    """About ``bins`` steps around ``threshold`` that cover low to high."""
    step = (high - low) / bins or 1.0
    below, above = np.ceil((threshold - low) / step) + 1, np.ceil((high - threshold) / step) + 1
    return threshold + step * np.arange(-below, above + 1)


def _strip(
    axes: Axes, base: float, values: NDArray[np.float64], bins: NDArray[np.float64], color: str
) -> None:
    """A histogram of its own height on ``base``, and a tick under it for each image."""
    counts, _ = np.histogram(values, bins)
    heights = 0.72 * counts / max(counts.max(), 1)
    axes.bar(bins[:-1], heights, np.diff(bins), base, align="edge", color=color, alpha=0.75, lw=0)
    axes.axhline(base, color="#D8D8D8", lw=0.8, zorder=0)
    axes.vlines(values, base - 0.1, base - 0.03, color=color, lw=0.6, alpha=0.6)


def _write(path: Path, write: Callable[[Path], object]) -> None:
    with replacing(path) as temporary:
        write(temporary)
