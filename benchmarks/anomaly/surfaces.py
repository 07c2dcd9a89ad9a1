"""Surface data sets through the command line: fit on good images, evaluate; then every other head.

    python -m benchmarks.anomaly.surfaces magnetic_tile.zip --dataset magnetic-tile --split grouped --seed 0
    python -m benchmarks.anomaly.surfaces --table

One run is one JSON file under results/surfaces; a run that has one is not repeated. The lists, the model and
its work folder stay below runs/surfaces for false_alarms.py and scoring.py.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.anomaly import splits
from benchmarks.anomaly.runs import Run

TOLERANCE = 0.002  # AUROC of the refitted head against the model file's


def main() -> None:
    options = _arguments()
    if options.table:
        print(table(harness.read_results("surfaces")))
        return
    run = Run(
        "surfaces",
        options.data,
        options.dataset,
        options.split,
        options.recipe,
        options.seed,
        tuple(options.set),
        options.steps,
        threads=options.threads,
    )
    result = json.loads(run.file.read_text("utf-8")) if run.file.is_file() else None
    if result is None:
        result = run.measure()
        harness.write_result(run.file, result)
    if "heads" not in result:
        add_heads(result, run.folder)
        harness.write_result(run.file, result)
        shutil.rmtree(run.folder / "cache", ignore_errors=True)
    area = result["evaluate"]["image_auroc"]["value"]
    print(f"{run.name}: AUROC {area:.3f}, {run.file.relative_to(harness.HERE)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="zip archive or folder of the data set")
    parser.add_argument("--dataset", choices=splits.SPLITS)
    parser.add_argument("--split", choices=("random", "grouped", "given"))
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the fit")
    parser.add_argument("--recipe", default="surfaces", help="a recipe's name or YAML file")
    parser.add_argument(
        "--steps", type=int, help="train so many steps instead of the recipe's (a smoke test)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of onlygood fit")
    parser.add_argument("--threads", type=int, default=1, help="of training and of scoring")
    parser.add_argument("--table", action="store_true", help="print the tables of all finished runs")
    options = parser.parse_args()
    if not options.table and not (options.data and options.dataset and options.split):
        parser.error("give DATA, --dataset and --split (or --table)")
    return options


def add_heads(result: dict[str, Any], folder: Path) -> None:
    """Evaluate every head on the very model that the result speaks of."""
    model = folder / "model.onnx"
    if not model.is_file() or _sha256(model) != result["evaluate"]["model_sha256"]:
        sys.exit(f"{model} is not the model measured; delete the result {result['name']}.json to run again")
    command = [sys.executable, str(harness.HERE / "anomaly/heads.py"), "."]
    usage = harness.run_measured(command, folder, "heads")
    found = json.loads((folder / "heads.out").read_text("utf-8"))
    ours, file = found["recipe"]["auroc"], result["evaluate"]["image_auroc"]["value"]
    if abs(ours - file) > TOLERANCE:
        sys.exit(
            f"{result['name']}: the recipe's head refitted in torch gets AUROC {ours:.4f}, the model file "
            f"{file:.4f}: the refit is not the fit"
        )
    result["heads"] = found | {"difference_to_model_file": abs(ours - file), "usage": usage.rounded()}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# --- tables

Group = list[dict[str, Any]]


def table(results: Group) -> str:
    """What was measured, per defect, and all heads; mean ± standard deviation over seeds."""
    groups: dict[tuple[str, str, str], Group] = defaultdict(list)
    for result in results:
        groups[result["dataset"], result["split"], result["recipe"]].append(result)
    if not groups:
        return "no finished runs"
    parts = [_overview(groups)]
    for dataset in sorted({key[0] for key in groups}):
        chosen = {key: group for key, group in groups.items() if key[0] == dataset}
        parts += [f"{dataset}: AUROC per kind of defect", _per_defect(chosen)]
        with_heads = {key: group for key, group in chosen.items() if all("heads" in one for one in group)}
        if with_heads:
            parts += [f"{dataset}: AUROC of every head on the same encoder", _heads(with_heads)]
    return "\n\n".join(parts)


def _values(group: Group, metric: str, key: str = "value") -> list[float | None]:
    return [(run["evaluate"][metric] or {}).get(key) for run in group]


def _overview(groups: dict[tuple[str, str, str], Group]) -> str:
    header = ["data, split, recipe", "seeds", "AUROC", "95 % (test images)", "AP", "false alarms", "promised"]
    header += ["detected", "pixel AUROC", "AUPRO", "fit, CPU min", "images/s", "MB"]
    rows = []
    for (dataset, split, recipe), group in sorted(groups.items()):
        low, high = (harness.spread([_mean(_values(group, "image_auroc", key))]) for key in ("low", "high"))
        rows.append(
            [
                f"{dataset}, {split}, {recipe}",
                " ".join(str(run["seed"]) for run in group),
                harness.spread(_values(group, "image_auroc")),
                f"{low} to {high}",
                harness.spread(_values(group, "image_ap")),
                harness.spread(_values(group, "false_alarms", "achieved")),
                harness.spread([_mean(_values(group, "false_alarms", "promised"))]),
                harness.spread(_values(group, "detected", "achieved"), 2),
                harness.spread(_values(group, "pixel_auroc")),
                harness.spread(_values(group, "aupro")),
                harness.spread([run["fit"]["cpu_seconds"] / 60 for run in group], 1),
                harness.spread([run["evaluate"]["images_per_second"] for run in group], 0),
                harness.spread([_mean([run["model"]["bytes"] / 1e6 for run in group])], 1),
            ]
        )
    return harness.markdown(header, rows)


def _per_defect(groups: dict[tuple[str, str, str], Group]) -> str:
    return _aurocs({key: [run["evaluate"]["per_defect"] for run in group] for key, group in groups.items()})


def _heads(groups: dict[tuple[str, str, str], Group]) -> str:
    return _aurocs({key: [run["heads"]["heads"] for run in group] for key, group in groups.items()})


def _aurocs(groups: dict[tuple[str, str, str], Group]) -> str:
    """A row for each split and recipe, a column for each name that any of them has."""
    names = sorted({name for group in groups.values() for found in group for name in found})
    rows = []
    for (_, split, recipe), group in sorted(groups.items()):
        cells = [harness.spread([found.get(name, {}).get("auroc") for found in group]) for name in names]
        rows.append([f"{split}, {recipe}", *cells])
    return harness.markdown(["split, recipe", *names], rows)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


if __name__ == "__main__":
    main()
