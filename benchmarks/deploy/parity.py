"""onnxruntime against torch: every head over every kind of region and number of test views, on photographs.

    python -m benchmarks.deploy.parity GOOD_DIR [--steps 60]
    python -m benchmarks.deploy.parity --table

The encoder `small` is trained for some steps by tasks that show 1, 4, 36 and 72 views. For each head, kind of
region and task that go together: fit the head, export, score other images with both. The difference is the
largest of scores and of heatmaps, each relative to its largest magnitude, in batches of 1, 2 and 5. The heads
are those of the registry; what does not go together is left out, with the reason in the JSON.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import harness
from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.fit import begin, build_task, fit_head
from onlygood.anomaly.heads.registry import HEADS
from onlygood.anomaly.recipe import Recipe
from onlygood.deploy.export import TOLERANCE, compare, session, to_onnx
from onlygood.pretrain.data.plan import plan_input
from onlygood.pretrain.data.store import ImageStore, survey_images
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.trainer import train
from onlygood.runtime.errors import OnlygoodError

TASKS = ("defect-maps", "denoising", "rotation", "multi-head-rotation", "geometric")
REGIONS: dict[str, dict[str, Any]] = {
    "whole": {"kind": "whole"},
    "tiles": {"kind": "tiles", "size": 64, "stride": 32},
    "cells": {"kind": "cells", "size": 64, "stride": 32},
}
LEARNED, SCORED = 48, 6  # images
SIDE = 96


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("good", type=Path, nargs="?", metavar="GOOD_DIR", help="folder of good images")
    parser.add_argument("--steps", type=int, default=60, help="of each task's training")
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    if options.table:
        print(table(harness.read_results("parity")))
        return
    if options.good is None:
        parser.error("give GOOD_DIR (or --table)")
    torch.set_num_threads(1)
    for task in TASKS:
        file = harness.result_file("parity", task)
        if not file.is_file():
            harness.write_result(file, measure(task, options.good, options.steps))
        print(f"{task}: {file.relative_to(harness.HERE)}", flush=True)


def measure(name: str, good: Path, steps: int) -> dict[str, Any]:
    """A task's row: the differences by region and head, and why others are missing."""
    origin = harness.provenance()
    paths = [sample.path for sample in discover(good, all_good=True).samples][: LEARNED + SCORED]
    recipe = Recipe.parse({"task": {"name": name}, "input": {"side": SIDE}}, "benchmark")
    spec, _ = plan_input(recipe.input, survey_images(paths, progress=False), tile=64, stride=32)
    store = ImageStore.build(paths, spec, progress=False)
    start = begin(recipe, spec.channels)
    task = build_task(recipe, spec.channels, LEARNED, start)
    with tempfile.TemporaryDirectory() as work:
        config = TrainConfig(steps=steps, batch_size=16, threads=1)
        train(task, store, config, Path(work), ids=np.arange(LEARNED), progress=False)
    differences: dict[str, dict[str, float]] = {}
    refused: dict[str, dict[str, str]] = {}
    for kind in REGIONS:
        differences[kind], refused[kind] = {}, {}
        for head in HEADS:
            try:
                differences[kind][head] = difference(recipe, task, store, kind, head)
            except OnlygoodError as error:
                refused[kind][head] = str(error)
    return {
        "name": name,
        "command": f"python -m benchmarks.deploy.parity GOOD_DIR --steps {steps}",
        "environment": origin,
        "images": {"learned": LEARNED, "scored": SCORED, "size": [spec.height, spec.width]},
        "views": task.test_views.count,
        "tolerance": TOLERANCE,
        "differences": differences,
        "refused": refused,
    }


def difference(recipe: Recipe, task: Task, store: ImageStore, kind: str, head: str) -> float:
    """Between torch and onnxruntime, of one head over one kind of region, on images that it has not seen.

    Raises:
        OnlygoodError: the head, the region and the task do not go together.
    """
    branch = {"regions": REGIONS[kind], "head": {"names": [head]}}
    whole = Recipe.parse(recipe.model_dump() | branch, "benchmark")
    detector = fit_head(whole, task, store, np.arange(LEARNED))
    infer = session(to_onnx(detector, store.spec).SerializeToString())
    return compare(detector, infer, store.batch(np.arange(LEARNED, LEARNED + SCORED)))


def table(results: list[dict[str, Any]]) -> str:
    """One row for each task and kind of region."""
    if not results:
        return "no finished runs"
    rows = [
        [f"{result['name']}, {kind}", str(result["views"])]
        + [f"{found[head]:.0e}" if head in found else "–" for head in HEADS]
        for result in sorted(results, key=lambda result: result["views"])
        for kind, found in result["differences"].items()
    ]
    return harness.markdown(["task, regions", "views", *HEADS], rows)


if __name__ == "__main__":
    main()
