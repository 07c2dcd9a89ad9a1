"""onnxruntime against torch for every head over every kind of region, on real images and trained weights.

    python -m benchmarks.deploy.parity runs/surfaces/NAME [runs/surfaces/NAME ...]
    python -m benchmarks.deploy.parity --table

For each head and region: fit the head on training images, export, score test images with both. The difference
is the largest of scores and of heatmaps, each relative to its largest magnitude; batches of 1, 2 and 5.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import harness
from benchmarks.anomaly.heads import head_names, load_run
from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.fit import fit_head
from onlygood.anomaly.recipe import Recipe
from onlygood.deploy.export import TOLERANCE, compare, session, to_onnx
from onlygood.runtime.images.reader import load_image

REGIONS = {
    "whole": {"kind": "whole"},
    "tiles": {"kind": "tiles", "size": 64, "stride": 16},
    "cells": {"kind": "cells", "size": 64, "stride": 16},
}
FITTED, SCORED = 12, 6  # images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folder of a run of surfaces.py")
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for run in [] if options.table else options.runs:
        file = harness.result_file("parity", run.resolve().name)
        if not file.is_file():
            harness.write_result(file, measure(run))
        print(f"{run.name}: {file.relative_to(harness.HERE)}")
    if options.table:
        print(table(harness.read_results("parity")))


def measure(folder: Path) -> dict[str, Any]:
    run = load_run(folder)
    samples = discover(folder / "test.csv", "test").samples
    chosen = np.linspace(0, len(samples) - 1, SCORED).astype(int)
    images = np.stack([load_image(samples[i].path, run.spec).pixels for i in chosen])
    differences: dict[str, dict[str, float]] = {}
    for kind, values in REGIONS.items():
        differences[kind] = {}
        for name, names in head_names(run).items():
            config = run.recipe.all_branches()[0].model_dump() | {"regions": values}
            config["head"] = {"names": names}
            recipe = Recipe.parse(run.recipe.model_dump() | {"branches": [config]}, "benchmark")
            detector = fit_head(recipe, run.task, run.store, run.train_ids[:FITTED])
            infer = session(to_onnx(detector, run.spec).SerializeToString())
            differences[kind][name] = compare(detector, infer, images)
    return {
        "name": folder.resolve().name,
        "command": harness.typed_command(folder),
        "environment": harness.provenance(),
        "images": SCORED,
        "tolerance": TOLERANCE,
        "differences": differences,
    }


def table(results: list[dict[str, Any]]) -> str:
    if not results:
        return "no finished runs"
    names = list(results[0]["differences"]["whole"])
    rows = [
        [f"{result['name']}, {kind}", *(f"{found.get(name, float('nan')):.0e}" for name in names)]
        for result in results
        for kind, found in result["differences"].items()
    ]
    return harness.markdown(["run, regions", *names], rows)


if __name__ == "__main__":
    main()
