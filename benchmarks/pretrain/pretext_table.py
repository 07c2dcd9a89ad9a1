"""Tables and the plot of what `pretext.py` found, and whether a better probe means a better detector.

    python -m benchmarks.pretrain.pretext_table [--plot docs/images/probe-vs-detector.png]

Means over seeds; hyper-parameters were the tasks' defaults.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.pretrain.pretext import ENCODERS

Runs = list[dict[str, Any]]
REFERENCES = ("random", "random-image", "random-raw", "supervised", "s4l")  # not trained, or with labels
FAMILIES = (  # tasks that are variants of one another
    (
        "rotation",
        "geometric",
        "multi-head-rotation",
        "goad",
        "rotation-decoupling",
        "deepercluster",
        "multi-task",
    ),
    ("relative-location", "patch-svdd", "jigsaw", "damaged-jigsaw", "selfie"),
    ("denoising", "context-encoder", "colorization"),
    ("counting",),
    ("exemplar", "exemplar-triplet", "instance-discrimination", "pirl"),
    ("simclr", "contrastive-da", "csi", "moco", "pcl"),
    ("byol", "simsiam"),
    ("barlow-twins", "vicreg"),
    ("deepcluster", "deepcluster-v2", "jule", "sela", "swav"),
    ("defects", "cutpaste"),
)
DRAWS = 10_000  # bootstrap resamples of the families


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    options = parser.parse_args()
    usual = [run for run in harness.read_results("pretext") if _usual(run)]
    runs, alone = _by_name(usual, alone=False), _by_name(usual, alone=True)
    print(probe_table(runs), detector_table(runs, alone), correlation_table(runs, alone), sep="\n\n")
    if options.plot:
        plot(runs, alone, options.plot)


def _usual(run: dict[str, Any]) -> bool:
    """Of the equal budget; longer runs, fewer images and other networks are told of in words."""
    training, task = run["training"], run["task"]
    budget = not training or (training["steps"], training["batch_size"]) == (2000, 64)
    images = run["good"] or run["images"] == 10_000
    networks = ("small", *ENCODERS.values()) if task == "random" else (ENCODERS.get(task, "small"),)
    return bool(budget and images) and run["encoder"] in networks


def _by_name(runs: Runs, *, alone: bool) -> dict[str, Runs]:
    """By task; a network that is not `small` is named, too."""
    found = defaultdict(list)
    for run in runs:
        if bool(run["good"]) == alone:
            network = "" if run["encoder"] == "small" else f" ({run['encoder']})"
            found[run["task"] + network].append(run)
    return found


# --- one number of one run


def linear(run: dict[str, Any], stage: int = -1) -> float:
    """Accuracy of the linear probe at a stage."""
    return float(run["probes"]["linear"][stage]["value"])


def best_linear(run: dict[str, Any]) -> float:
    """Of the best stage, which is chosen by the test images: an upper end."""
    return max(float(row["value"]) for row in run["probes"]["linear"])


def knn(run: dict[str, Any]) -> float:
    """Accuracy of the last stage's neighbours."""
    return float(run["probes"]["knn"][-1]["value"])


def shots(count: int) -> Callable[[dict[str, Any]], float]:
    """Accuracy of 5-way episodes with ``count`` examples a class."""

    def value(run: dict[str, Any]) -> float:
        (row,) = [row for row in run["probes"]["few-shot"] if row["measure"] == f"5-way {count}-shot"]
        return float(row["value"])

    return value


def detection(run: dict[str, Any], good: str | None = None) -> float:
    """AUROC of the last stage with the class ``good``, or averaged over all that were good in turn."""
    areas = run["one_class"]
    return float(areas[good][-1]) if good else statistics.fmean(values[-1] for values in areas.values())


def cost(run: dict[str, Any]) -> float | None:
    """CPU seconds of training for 1,000 images."""
    seconds = run["training"].get("cpu_seconds_per_1000_images")
    return None if seconds is None else float(seconds)


# --- tables


def _cell(runs: Runs, value: Callable[[dict[str, Any]], float | None], digits: int = 3) -> str:
    return harness.spread([value(run) for run in runs], digits)


def _mean(runs: Runs, value: Callable[[dict[str, Any]], float]) -> float:
    return statistics.fmean(value(run) for run in runs)


def probe_table(runs: dict[str, Runs]) -> str:
    """What each encoder knows; best linear probe of the last stage first."""
    order = sorted(runs, key=lambda name: -_mean(runs[name], linear))
    header = ["task", "seeds", "linear 1", "2", "3", "4", "kNN", "5-shot", "20-shot", "50-shot"]
    rows = [
        [
            name + (" †" if any(run["training"].get("warnings") for run in runs[name]) else ""),
            str(len(runs[name])),
            *(_cell(runs[name], lambda run, s=stage: _stage(run, s)) for stage in range(4)),
            _cell(runs[name], knn),
            *(_cell(runs[name], shots(n)) for n in (5, 20, 50)),
        ]
        for name in order
    ]
    return harness.markdown(header, rows)


def _stage(run: dict[str, Any], stage: int) -> float | None:
    """A ViT has fewer stages: the nearest stands for each of the four."""
    count = len(run["probes"]["linear"])
    return linear(run, round(stage * (count - 1) / 3))


def detector_table(runs: dict[str, Runs], alone: dict[str, Runs]) -> str:
    """One-class AUROC of encoders trained on all classes or on the good one alone; what training cost."""
    classes = sorted({run["good"] for found in alone.values() for run in found})
    order = sorted(runs, key=lambda name: -_mean(runs[name], detection))
    base = _mean(runs["rotation"], lambda run: cost(run) or 0) if "rotation" in runs else 1.0
    header = ["task", "ten classes in turn"]
    header += [f"{good}{part}" for good in classes for part in ("", ", trained on it alone")]
    header += ["CPU s per 1,000 images", "times rotation"]
    rows = []
    for name in order:
        cells = [_cell(runs[name], detection)]
        for good in classes:
            own = [run for run in alone.get(name, []) if run["good"] == good]
            cells += [_cell(found, lambda run, g=good: detection(run, g)) for found in (runs[name], own)]
        cells += [_cell(runs[name], cost, 2)]
        cells += [_cell(runs[name], lambda run: None if cost(run) is None else cost(run) / base, 1)]
        rows.append([name, *cells])
    return harness.markdown(header, rows)


PAIRS: list[tuple[str, Callable[[dict[str, Any]], float]]] = [
    ("linear, last stage", linear),
    ("linear, best stage", best_linear),
    ("kNN", knn),
    ("5-shot", shots(5)),
]


def correlation_table(runs: dict[str, Runs], alone: dict[str, Runs]) -> str:
    """Pearson's and Spearman's correlation over pretext tasks on one network, with bootstrap intervals."""
    header = ["probe (trained on all classes)", "one-class AUROC of", "tasks", "Pearson", "Spearman"]
    settings = [("the same encoder, ten classes in turn", runs, None)]
    for good in sorted({run["good"] for found in alone.values() for run in found}):
        own = {name: [run for run in found if run["good"] == good] for name, found in alone.items()}
        settings.append((f"an encoder trained on {good} alone", {k: v for k, v in own.items() if v}, good))
    rows = []
    for words, detectors, good in settings:
        names = compared(runs, detectors)
        if len(names) < 10:
            continue
        y = np.array([_mean(detectors[name], lambda run, g=good: detection(run, g)) for name in names])
        for probe_name, probe in PAIRS:
            x = np.array([_mean(runs[name], probe) for name in names])
            cells = [_interval(x, y, names, kind) for kind in (pearson, spearman)]
            rows.append([probe_name, words, str(len(names)), *cells])
    return harness.markdown(header, rows)


def compared(runs: dict[str, Runs], detectors: dict[str, Runs]) -> list[str]:
    """Pretext tasks without labels on the network `small` that have both numbers."""
    known = [name for family in FAMILIES for name in family]
    return [name for name in known if name in runs and name in detectors]


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Of the values."""
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Of the ranks."""
    from scipy.stats import rankdata  # noqa: PLC0415

    return pearson(rankdata(x), rankdata(y))


def _interval(
    x: np.ndarray, y: np.ndarray, names: list[str], kind: Callable[[np.ndarray, np.ndarray], float]
) -> str:
    """With the 95 % interval over resampled families, for tasks of one family are not independent."""
    rng = np.random.default_rng(0)
    rows = [[names.index(name) for name in family if name in names] for family in FAMILIES]
    rows = [family for family in rows if family]
    values = []
    for drawn in rng.integers(0, len(rows), (DRAWS, len(rows))):
        chosen = [row for family in drawn for row in rows[family]]
        if len(set(chosen)) > 2:
            values.append(kind(x[chosen], y[chosen]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"{kind(x, y):+.2f} ({low:+.2f} to {high:+.2f})"


def plot(runs: dict[str, Runs], alone: dict[str, Runs], path: Path) -> None:
    """Linear probe against one-class AUROC, a point a task."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(14, 7.5), constrained_layout=True)
    own = {name: [run for run in found if run["good"] == "airplane"] for name, found in alone.items()}
    panels = [
        ("trained on all classes; ten classes in turn", runs, None),
        ("trained on airplanes alone", own, "airplane"),
    ]
    for ax, (title, detectors, good) in zip(axes, panels, strict=True):
        names = [name for name in runs if " " not in name and detectors.get(name)]
        found = sorted(
            (_mean(detectors[name], lambda run, g=good: detection(run, g)), _mean(runs[name], linear), name)
            for name in names
        )
        low, high = found[0][0], found[-1][0]
        gap, right = (high - low) / 38, max(x for _, x, _ in found) + 0.02
        height = low - gap
        for y, x, name in found:  # names in a column, none over another
            height = max(y, height + gap)
            color = "tab:red" if name in REFERENCES else "tab:blue"
            ax.plot([x, right], [y, height], color="0.8", linewidth=0.6, zorder=1)
            ax.plot(x, y, "o", color=color, markersize=5)
            ax.annotate(name, (right, height), fontsize=8, color=color, va="center")
        ax.set_xlim(right=right + 0.11)
        ax.set(xlabel="linear probe, last stage: accuracy", ylabel="one-class AUROC, Gaussian", title=title)
        ax.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
