"""One class good, nine anomalous: every method on CIFAR-10 and Fashion-MNIST, class by class.

    python -m benchmarks.anomaly.one_class fashion-mnist=FOLDER cifar10=FOLDER      # all methods and classes
    python -m benchmarks.anomaly.one_class fashion-mnist=FOLDER --methods rotnet --classes shirt --seeds 0 1
    python -m benchmarks.anomaly.one_class --table --plot docs/images

A run trains on all training images of one class and is tested on the whole test set. ``--views`` is what a
training costs at most, in images through the encoder. One run is one JSON file under results/one_class; a run
that has one is not repeated, and one that was cut off goes on from its checkpoint. The trained task stays
below runs/one_class, so that ``--rescore`` need not train again.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks import harness
from benchmarks.anomaly import one_class_table
from benchmarks.anomaly.one_class_methods import METHODS, Method
from benchmarks.anomaly.one_class_scores import areas
from benchmarks.data import READERS, ArrayStore, Classes
from benchmarks.pretrain.pretext import settle
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import create_task
from onlygood.pretrain.training.checkpoint import FILE_NAME, save_state
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.logs import read_rows
from onlygood.pretrain.training.trainer import train
from onlygood.runtime.atomic import write_atomically


def main() -> None:
    options = _arguments()
    if options.table:
        one_class_table.show(harness.read_results("one_class"), options.plot)
        return
    torch.set_num_threads(1)
    for run in _runs(options):
        if not run.file.is_file() or options.rescore:
            finish(run)


@dataclass(frozen=True)
class Run:
    """One training and its scores."""

    dataset: str
    folder: Path
    data: Classes
    name: str  # of the method
    good: str
    seed: int
    views: int

    @property
    def label(self) -> str:
        """Names the run and its files."""
        return f"{self.dataset}_{self.name}_{self.views // 1000}k_{self.good}_seed{self.seed}"

    @property
    def file(self) -> Path:
        """Where its result is."""
        return harness.result_file("one_class", self.label)

    @property
    def method(self) -> Method:
        """What its name stands for."""
        return METHODS[self.name]

    @cached_property
    def store(self) -> ArrayStore:
        """The images to train on."""
        return self.data.good(self.good)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", metavar="NAME=FOLDER", help=f"of {', '.join(READERS)}")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--classes", nargs="+", help="which are good, one after another; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--views", type=int, default=600_000, help="images through the encoder in training")
    parser.add_argument("--rescore", action="store_true", help="score trained encoders again")
    parser.add_argument("--table", action="store_true", help="print the tables of all finished runs")
    parser.add_argument("--plot", type=Path, help="with --table: folder for the pictures")
    options = parser.parse_args()
    if bool(options.data) == options.table:
        parser.error("give NAME=FOLDER of a data set, or --table")
    for given in options.data:
        if given.partition("=")[0] not in READERS:
            parser.error(f"{given}: a data set is one of {', '.join(READERS)}")
    return options


def _runs(options: argparse.Namespace) -> Iterator[Run]:
    """Whole rows of the tables first: all classes of a method and seed, then the next."""
    for given in options.data:
        dataset, _, folder = given.partition("=")
        data = READERS[dataset](Path(folder))
        unknown = set(options.classes or []) - set(data.names)
        if unknown and len(options.data) == 1:
            sys.exit(f"{', '.join(unknown)}: classes are {', '.join(data.names)}")
        classes = [name for name in data.names if not options.classes or name in options.classes]
        for seed in options.seeds:
            for name in options.methods:
                views = options.views if METHODS[name].task else 0
                for good in classes:
                    yield Run(dataset, Path(folder), data, name, good, seed, views)


def finish(run: Run) -> None:
    """Train, unless that is done; score; write the result."""
    about = harness.provenance()
    task, training = trained(run)
    started = time.process_time()
    test_good = run.data.test_labels == run.data.names.index(run.good)
    found = areas(task, run.method.heads, run.store.images, run.data.test, test_good)
    result = {
        "dataset": run.dataset,
        "method": run.name,
        "good": run.good,
        "seed": run.seed,
        "views": run.views,
        "encoder": task.encoder.name,
        "parameters": sum(p.numel() for p in task.encoder.parameters()),
        "images": len(run.store),
        "data": run.store.fingerprint,
        "auroc": found,
        "training": training,
        "scoring_cpu_seconds": round(time.process_time() - started, 1),
        "command": harness.typed_command().replace(str(run.folder), run.folder.name),
        "torch": torch.__version__,
        **about,
    }
    harness.write_result(run.file, result)
    words = ", ".join(f"{head} {value:.4f}" for head, value in found.items())
    print(f"{run.label}: {words}; {training.get('cpu_seconds', 0):.0f} CPU s of training", flush=True)


# --- training


def trained(run: Run) -> tuple[Task, dict[str, Any]]:
    """The trained task, in evaluation mode, and what training took."""
    method = run.method
    encoder = create_encoder(method.encoder, run.store.images.shape[3], seed=run.seed)
    if method.task is None:
        settled = settle(encoder, run.store, "fixed", run.seed)
        return create_task("frozen", settled, {}, "fixed", images=len(run.store), seed=run.seed).eval(), {}
    task = create_task(method.task, encoder, method.options, images=len(run.store), seed=run.seed)
    folder = harness.RUNS / "one_class" / run.label
    state, record = folder / "task.safetensors", folder / "training.json"
    if record.is_file():
        task.load_state_dict(load_file(state))
        return task.eval(), json.loads(record.read_text("utf-8"))
    batch = int(method.training["batch_size"])
    steps = max(1, run.views // (method.passes * batch))
    fixed = {"steps": steps, "precision": "fp32", "threads": 1, "seed": run.seed}
    config = TrainConfig.parse({**method.training, **fixed}, f"training of {run.name}")
    result = train(task, run.store, config, folder, resume=True, progress=False)
    losses = [row["loss"] for row in read_rows(result.log)]
    training = {
        **config.identity(),
        "options": dict(method.options),
        "passes": steps * batch * method.passes,
        "cpu_seconds": round(result.cpu_seconds, 1),
        "losses": [round(float(np.mean(part)), 4) for part in np.array_split(losses, min(10, len(losses)))],
        "metrics": result.metrics,
        "warnings": result.warnings,
    }
    save_state(task, state)
    write_atomically(record, json.dumps(training, indent=1).encode())
    (folder / FILE_NAME).unlink()
    return task.eval(), training


if __name__ == "__main__":
    main()
