"""Tables and the plot of what `pretext.py` found, and whether a better probe means a better detector.

    python benchmarks/pretext_table.py [--plot docs/images/probe-vs-detector.png]

Means over seeds; hyper-parameters were the tasks' defaults.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

Runs = list[dict[str, Any]]
REFERENCES = ("random", "supervised")
DRAWS = 10_000  # bootstrap resamples of the tasks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    options = parser.parse_args()
    usual = [run for run in harness.read_results("pretext") if _usual(run)]
    runs, alone = _by_task(usual, alone=False), _by_task(usual, alone=True)
    print(probe_table(runs), detector_table(runs, alone), correlation_table(runs, alone), sep="\n\n")
    if options.plot:
        plot(runs, alone, options.plot)


def _usual(run: dict[str, Any]) -> bool:
    """Of the equal budget; longer runs, fewer images and other networks are told of in words."""
    training = run["training"]
    own = {"mae": "vit-tiny-4", "split-brain": "split-small", "svdd": "lenet"}
    budget = not training or (training["steps"], training["batch_size"]) == (2000, 64)
    images = run["good"] or run["images"] == 10_000
    return bool(budget and images) and run["encoder"] == own.get(run["task"], "small")


def _by_task(runs: Runs, *, alone: bool) -> dict[str, Runs]:
    found = defaultdict(list)
    for run in runs:
        if bool(run["good"]) == alone:
            found[run["task"]].append(run)
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


def detection(run: dict[str, Any]) -> float:
    """AUROC of the last stage, averaged over the classes that were good in turn."""
    return statistics.fmean(values[-1] for values in run["one_class"].values())


def best_detection(run: dict[str, Any]) -> float:
    """Of the best stage, which is chosen by the test images."""
    return float(np.max(np.mean(list(run["one_class"].values()), axis=0)))


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
    order = sorted(runs, key=lambda task: -_mean(runs[task], linear))
    header = ["task", "seeds", "linear 1", "2", "3", "4", "kNN", "5-shot", "20-shot", "50-shot"]
    rows = [
        [
            _name(task, runs[task]),
            str(len(runs[task])),
            *(_cell(runs[task], lambda run, s=stage: _stage(run, s)) for stage in range(4)),
            _cell(runs[task], knn),
            *(_cell(runs[task], shots(n)) for n in (5, 20, 50)),
        ]
        for task in order
    ]
    return harness.markdown(header, rows)


def _stage(run: dict[str, Any], stage: int) -> float | None:
    """A ViT has six blocks: its first, third, fifth and last stand for the four stages."""
    count = len(run["probes"]["linear"])
    return linear(run, round(stage * (count - 1) / 3))


def _name(task: str, runs: Runs) -> str:
    encoder = runs[0]["encoder"]
    return task if encoder == "small" else f"{task} ({encoder})"


def detector_table(runs: dict[str, Runs], alone: dict[str, Runs]) -> str:
    """One-class AUROC, and what training cost; best detector trained on good images alone first."""
    found = {task: _mean(alone[task], detection) if task in alone else 0.0 for task in runs}
    order = sorted(runs, key=lambda task: (-found[task], -_mean(runs[task], detection)))
    base = _mean(runs["rotation"], lambda run: cost(run) or 0) if "rotation" in runs else 1.0
    header = ["task", "trained on the good class alone", "best stage"]
    header += ["trained on all classes", "best stage", "CPU s per 1,000 images", "times rotation"]
    rows = [
        [
            _name(task, runs[task]),
            _classes(alone.get(task, []), detection),
            _classes(alone.get(task, []), best_detection),
            _cell(runs[task], detection),
            _cell(runs[task], best_detection),
            _cell(runs[task], cost, 2),
            _cell(runs[task], lambda run: None if cost(run) is None else cost(run) / base, 1),
        ]
        for task in order
    ]
    return harness.markdown(header, rows)


def _classes(runs: Runs, value: Callable[[dict[str, Any]], float]) -> str:
    """Mean over classes, for each seed; then its spread over seeds."""
    seeds = defaultdict(list)
    for run in runs:
        seeds[run["seed"]].append(value(run))
    return harness.spread([statistics.fmean(found) for found in seeds.values()])


PAIRS: list[tuple[str, Callable[[dict[str, Any]], float]]] = [
    ("linear, last stage", linear),
    ("linear, best stage", best_linear),
    ("kNN", knn),
    ("5-shot", shots(5)),
]


def correlation_table(runs: dict[str, Runs], alone: dict[str, Runs]) -> str:
    """Pearson's and Spearman's correlation over pretext tasks on one network, with bootstrap intervals."""
    header = ["probe (trained on all classes)", "one-class AUROC of", "tasks", "Pearson", "Spearman"]
    rows = []
    for words, detectors in (("the same encoder", runs), ("an encoder trained on good alone", alone)):
        tasks = compared(runs, detectors)
        if len(tasks) < 5:
            continue
        y = np.array([_mean(detectors[task], detection) for task in tasks])
        for name, probe in PAIRS:
            x = np.array([_mean(runs[task], probe) for task in tasks])
            rows.append(
                [name, words, str(len(tasks)), *(_interval(x, y, kind) for kind in (pearson, spearman))]
            )
    return harness.markdown(header, rows)


def compared(runs: dict[str, Runs], detectors: dict[str, Runs]) -> list[str]:
    """Pretext tasks of the network `small` that have both numbers."""
    return [
        task
        for task in sorted(runs)
        if task in detectors and task not in REFERENCES and runs[task][0]["encoder"] == "small"
    ]


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Of the values."""
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Of the ranks."""
    from scipy.stats import rankdata  # noqa: PLC0415

    return pearson(rankdata(x), rankdata(y))


def _interval(x: np.ndarray, y: np.ndarray, kind: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """With the 95 % interval over resampled tasks."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(x), (DRAWS, len(x)))
    values = [kind(x[some], y[some]) for some in drawn if len(set(some.tolist())) > 2]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"{kind(x, y):+.2f} ({low:+.2f} to {high:+.2f})"


def plot(runs: dict[str, Runs], alone: dict[str, Runs], path: Path) -> None:
    """Linear probe against one-class AUROC, a point a task."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(13, 6), constrained_layout=True, sharex=True)
    titles = ("trained on all classes", "trained on the good class alone")
    for ax, detectors, title in zip(axes, (runs, alone), titles, strict=True):
        for task in sorted(set(runs) & set(detectors)):
            x, y = _mean(runs[task], linear), _mean(detectors[task], detection)
            colour = "tab:red" if task in REFERENCES else "tab:blue"
            ax.plot(x, y, "o", color=colour, markersize=5)
            ax.annotate(task, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
        ax.set(xlabel="linear probe, last stage: accuracy", ylabel="one-class AUROC, Gaussian", title=title)
        ax.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
