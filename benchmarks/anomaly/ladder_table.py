"""The ladder as Markdown tables: rungs as rows, means over data sets first, then each of these."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from benchmarks import harness

Result = dict[str, Any]
Cells = dict[str, dict[str, list[Result]]]  # of each rung, of each data set, its runs

# Where a result has a value, and with how many digits it is shown.
METRICS: dict[str, tuple[tuple[str, ...], int]] = {
    "AUROC": (("evaluate", "image_auroc", "value"), 3),
    "detected at 1 %": (("evaluate", "at_rates", "0.01", "detected", "achieved"), 2),
    "detected at 5 %": (("evaluate", "at_rates", "0.05", "detected", "achieved"), 2),
    "false alarms at 5 %": (("evaluate", "at_rates", "0.05", "false_alarms", "achieved"), 3),
    "pixel AP": (("evaluate", "pixel_ap", "value"), 3),
    "AUPRO to .05": (("evaluate", "aupro_05", "value"), 3),
    "AUPRO to .3": (("evaluate", "aupro", "value"), 3),
    "fit, CPU min": (("fit", "cpu_seconds"), 1),
    "images/s": (("evaluate", "images_per_second"), 0),
    "MB": (("model", "bytes"), 1),
}
_UNITS = {"fit, CPU min": 60, "MB": 1e6}


def table(results: list[Result], sets: Mapping[tuple[str, str], str], reported: str) -> str:
    """The means of all rungs, then a table a metric; best mean AUROC first.

    ``sets`` names data sets and their splits, in the order of the columns; ``reported`` is in no mean. A mean
    over some of the sets that have the metric is in parentheses: it does not compare.
    """
    cells: Cells = defaultdict(lambda: defaultdict(list))
    for result in results:
        cells[result["recipe"]][sets[result["dataset"], result["split"]]].append(result)
    if not cells:
        return "no finished runs"
    names = [name for name in sets.values() if any(name in row for row in cells.values())]
    means = {metric: _means(cells, names, metric, reported) for metric in METRICS}
    rungs = sorted(cells, key=lambda rung: _order(means["AUROC"][rung]), reverse=True)
    counts = {rung: sum(name != reported for name in cells[rung]) for rung in rungs}
    rows = [
        [
            rung,
            str(counts[rung]),
            _seeds(cells[rung]),
            *(_mean_cell(means[key][rung], key) for key in METRICS),
        ]
        for rung in rungs
    ]
    parts = [harness.markdown(["rung", "sets", "seeds", *METRICS], rows)]
    for metric, (_, digits) in METRICS.items():
        rows = [
            [
                rung,
                _mean_cell(means[metric][rung], metric),
                *(harness.spread(_values(cells[rung].get(name, []), metric), digits) for name in names),
            ]
            for rung in rungs
        ]
        parts += [metric, harness.markdown(["rung", "mean", *names], rows)]
    return "\n\n".join(parts)


Mean = tuple[float, bool] | None  # over sets, and whether these are all that any rung has


def _means(cells: Cells, names: list[str], metric: str, reported: str) -> dict[str, Mean]:
    """Of each rung, the mean over sets of the mean over seeds."""
    known: dict[str, dict[str, float]] = {}
    for rung, row in cells.items():
        values = {name: _values(row.get(name, []), metric) for name in names if name != reported}
        known[rung] = {name: statistics.fmean(found) for name, found in values.items() if found}
    every = {name for found in known.values() for name in found}
    return {
        rung: (statistics.fmean(found.values()), found.keys() == every) if found else None
        for rung, found in known.items()
    }


def _values(runs: list[Result], metric: str) -> list[float]:
    """The metric of those runs that have it."""
    found = []
    for run in runs:
        value: Any = run
        for key in METRICS[metric][0]:
            value = None if value is None else value.get(key)
        if value is not None:
            found.append(value / _UNITS.get(metric, 1))
    return found


def _order(mean: Mean) -> tuple[bool, float]:
    return (False, 0.0) if mean is None else (mean[1], mean[0])


def _mean_cell(mean: Mean, metric: str) -> str:
    if mean is None:
        return "–"
    shown = f"{mean[0]:.{METRICS[metric][1]}f}"
    return shown if mean[1] else f"({shown})"


def _seeds(row: Mapping[str, list[Result]]) -> str:
    return " ".join(map(str, sorted({run["seed"] for runs in row.values() for run in runs})))
