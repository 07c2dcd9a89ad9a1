"""Tables and plots of what `one_class.py` found."""

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.anomaly.one_class_methods import METHODS, PAPERS
from benchmarks.data import FASHION, READERS

CLASSES = 10
Runs = list[dict[str, Any]]
Row = tuple[str, int]  # method, and images through the encoder in training


def show(runs: Runs, folder: Path | None) -> None:
    """Print the tables of each data set; write its plot."""
    for dataset in READERS:
        rows = by_row([run for run in runs if run["dataset"] == dataset])
        if not rows:
            continue
        print(f"## {dataset}\n", class_table(dataset, rows), head_table(rows), sep="\n", end="\n\n")
        if folder:
            plot(dataset, rows, folder / f"one-class-{dataset}.png")


def by_row(runs: Runs) -> dict[Row, Runs]:
    """Runs of each method and length, in the order of the methods."""
    found: dict[Row, Runs] = defaultdict(list)
    names = list(METHODS)
    for run in sorted(runs, key=lambda run: (names.index(run["method"]), run["views"])):
        found[run["method"], run["views"]].append(run)
    return found


def means(runs: Runs, head: str) -> list[float]:
    """Mean AUROC in percent over the classes, of each seed that has all ten."""
    values = []
    for seed in sorted({run["seed"] for run in runs}):
        own = {run["good"]: run["auroc"] for run in runs if run["seed"] == seed}
        if len(own) == CLASSES and all(head in areas for areas in own.values()):
            values.append(100 * statistics.fmean(areas[head] for areas in own.values()))
    return values


def class_table(dataset: str, rows: dict[Row, Runs]) -> str:
    """AUROC in percent by class, under the head that the method's paper takes; what training cost."""
    known = {run["good"] for runs in rows.values() for run in runs}
    classes = [name for name in FASHION if name in known] or sorted(known)
    header = ["method, head", "seeds", *classes, "mean", "views", "CPU min a class", "paper", "gap"]
    lines = []
    for (name, views), runs in rows.items():
        head = METHODS[name].heads[0]
        cells = []
        for good in classes:
            own = [100 * run["auroc"][head] for run in runs if run["good"] == good]
            cells.append(f"{statistics.fmean(own):.1f}" if own else "–")
        values = means(runs, head)
        published = PAPERS[dataset].get(name)
        gap = f"{statistics.fmean(values) - published[0]:+.1f}" if values and published else "–"
        minutes = [run["training"].get("cpu_seconds", 0) / 60 for run in runs]
        lines.append(
            [
                f"{name}, {head}",
                " ".join(str(seed) for seed in sorted({run["seed"] for run in runs})),
                *cells,
                harness.spread(values, 2),
                f"{views / 1000:,.0f}k",
                f"{statistics.fmean(minutes):.1f}",
                f"{published[0]} ({published[1]})" if published else "–",
                gap,
            ]
        )
    return harness.markdown(header, lines) + "\n"


def head_table(rows: dict[Row, Runs]) -> str:
    """Mean AUROC over the classes under every head."""
    heads = list(dict.fromkeys(head for runs in rows.values() for run in runs for head in run["auroc"]))
    lines = [
        [f"{name}, {views / 1000:,.0f}k", *(harness.spread(means(runs, head), 2) for head in heads)]
        for (name, views), runs in rows.items()
    ]
    return harness.markdown(["method", *heads], lines)


def plot(dataset: str, rows: dict[Row, Runs], path: Path) -> None:
    """Each class a dot, the mean of a seed a bar, the paper's mean a cross."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, ax = plt.subplots(figsize=(9, 1.2 + 0.42 * len(rows)), constrained_layout=True)
    for height, ((name, _), runs) in enumerate(rows.items()):
        head = METHODS[name].heads[0]
        values = [100 * run["auroc"][head] for run in runs]
        ax.plot(values, [height] * len(values), "o", color="tab:blue", alpha=0.4, markersize=4)
        whole = means(runs, head)  # of seeds that have all classes
        ax.plot(whole, [height] * len(whole), "|", color="tab:blue", markersize=16, markeredgewidth=2.5)
        if name in PAPERS[dataset]:
            ax.plot([PAPERS[dataset][name][0]], [height], "x", color="tab:red")
    labels = [f"{name}, {METHODS[name].heads[0]}, {views / 1000:,.0f}k" for name, views in rows]
    ax.set_yticks(range(len(rows)), labels)
    ax.invert_yaxis()
    ax.set(xlabel="one-class AUROC, %: classes, the mean of a seed |, the paper's mean ×", title=dataset)
    ax.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
