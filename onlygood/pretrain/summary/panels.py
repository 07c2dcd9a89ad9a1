"""The panels of a summary, each drawn on axes that it is given."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from onlygood.pretrain.summary.measures import ViewAccuracy
from onlygood.pretrain.summary.style import BAD, GOOD, LINE, QUIET

_NAMED = 12  # views that are told by name; more are numbers

Rows = Sequence[dict[str, float]]


def loss_curve(axes: Axes, rows: Rows, classes: int | None) -> None:
    """The loss over the steps, and what guessing among ``classes`` costs."""
    axes.set_title("Loss")
    name = "cross_entropy" if classes is not None and all("cross_entropy" in row for row in rows) else "loss"
    _curve(axes, rows, name, GOOD)
    if classes is not None:
        _level(axes, math.log(classes), f"guessing among {classes}")


def accuracy_curve(axes: Axes, rows: Rows, classes: int | None) -> None:
    """The pretext accuracy over the steps, and chance."""
    axes.set_title("Pretext task")
    _curve(axes, rows, "accuracy", GOOD)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("right answers")
    if classes is not None:
        _level(axes, 1 / classes, "guessing")


def view_bars(axes: Axes, found: ViewAccuracy) -> None:
    """The share of images that are recognized under each view."""
    axes.set_title("Views told apart")
    count = len(found.names)
    places = np.arange(count)
    axes.barh(places, found.shares, color=GOOD, height=0.7 if count <= _NAMED else 0.9)
    axes.set(xlim=(0, 1), ylim=(count - 0.4, -0.6), xlabel=f"recognized, of {found.images} images")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.axvline(1 / count, color=QUIET, lw=1, ls=(0, (2, 3)))
    if count <= _NAMED:
        axes.set_yticks(places, found.names)
        axes.tick_params(axis="y", length=0)
    else:
        axes.set_ylabel("view")


def score_histogram(axes: Axes, scores: NDArray[np.float64], threshold: float, promised: float) -> None:
    """Scores of the good images that were held out, with the threshold."""
    above = int(np.sum(scores > threshold))
    axes.set_title("Scores held out")
    low, high = min(float(scores.min()), threshold), max(float(scores.max()), threshold)
    margin = 0.05 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, 31).tolist()
    for part, color in ((scores[scores <= threshold], GOOD), (scores[scores > threshold], BAD)):
        axes.hist(part, edges, color=color, alpha=0.85)
    axes.axvline(threshold, color=LINE, lw=1.4)
    axes.set_xlabel(f"threshold {threshold:.4g}\n{above} of {len(scores)} above, {promised:.2%} promised")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_ylabel("images")


def projection(
    axes: Axes,
    points: NDArray[np.float64],
    share: float,
    held_out: NDArray[np.bool_],
    flagged: NDArray[np.bool_],
) -> None:
    """Where images ``(n, 2)`` lie among the features: those learned from, held out, and flagged."""
    axes.set_title("Among the features")
    kinds = [
        (~held_out, QUIET, "o", 10, "learned from"),
        (held_out & ~flagged, GOOD, "o", 18, "held out"),
        (flagged, BAD, "X", 46, "above the threshold"),
    ]
    for which, color, marker, size, name in kinds:
        if which.any():
            axes.scatter(
                points[which, 0],
                points[which, 1],
                s=size,
                c=color,
                marker=marker,
                lw=0,
                alpha=0.8,
                label=name,
            )
    axes.set_xlabel(f"two principal axes,\n{share:.0%} of the spread")
    axes.set(xticks=[], yticks=[])
    axes.margins(0.08)
    if held_out.any():
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.4 * (high - low))  # the legend hides no image
        axes.legend(loc="upper left", frameon=False, fontsize=8, handletextpad=0.2, borderaxespad=0)


def _curve(axes: Axes, rows: Rows, name: str, color: str) -> None:
    found = [(row["step"], row[name]) for row in rows if name in row]
    axes.plot(*zip(*found, strict=True), color=color, lw=1.8, marker="o" if len(found) < 12 else "", ms=4)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(axis="y", color="#EBEBEB", lw=0.8)
    axes.set_axisbelow(True)


def _level(axes: Axes, value: float, words: str) -> None:
    """A dotted line with its meaning."""
    axes.axhline(value, color=QUIET, lw=1, ls=(0, (2, 3)))
    place = (0.98, value)
    axes.annotate(
        words,
        place,
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color=LINE,
        size=8,
    )
