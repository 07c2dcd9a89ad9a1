"""Every head on one finished fit: test images go through the encoder once, each head reads what came out.

    python -m benchmarks.anomaly.heads RUN

RUN is a folder of surfaces.py with model.onnx, model.work and the lists. Prints JSON. It compares heads by
test labels, so a recipe's head must not be chosen from it.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from onlygood.anomaly.branch import Branch
from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.samples import Sample
from onlygood.anomaly.detector import Detector
from onlygood.anomaly.evaluation.metrics import auroc
from onlygood.anomaly.fit import build_task
from onlygood.anomaly.gather import gather
from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.heads.registry import HeadConfig
from onlygood.anomaly.recipe import Recipe
from onlygood.pretrain.data.store import ImageStore
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.modelfile import load_model

POOLS = (1, 5)
_CHUNK = 16  # images that a head scores at once

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """A finished fit, read back from its folder."""

    recipe: Recipe
    spec: InputSpec
    task: Task
    store: ImageStore
    train_ids: Ids
    seen: frozenset[str]  # SHA-256 of the images trained or calibrated on


def load_run(folder: Path) -> Trained:
    """The trained task with the images that it was trained on."""
    work = folder / "model.work"
    recipe = Recipe.parse(json.loads((work / "recipe.json").read_text("utf-8")), "recipe.json")
    recipe = recipe.model_copy(update={"encoder_weights": None})  # the task's state holds the encoder's
    spec = load_model(folder / "model.onnx").metadata.input
    split = json.loads((work / "split.json").read_text("utf-8"))
    samples = discover(folder / "train.csv", "train").samples
    store = ImageStore.build([sample.path for sample in samples], spec, progress=False)
    first = {name: index for index, name in reversed(list(enumerate(store.hashes)))}
    task = build_task(recipe, spec.channels, len(samples))
    task.load_state_dict(load_file(work / "task.safetensors"))
    train_ids = np.sort(np.array([first[name] for name in split["train"]], dtype=np.int64))
    seen = frozenset(split["train"] + split["calibration"])
    return Trained(recipe, spec, task.eval(), store, train_ids, seen)


def branch_of(run: Trained, names: list[str]) -> Branch:
    """The recipe's branch with other heads."""
    config = run.recipe.all_branches()[0]
    options = {name: value for name, value in config.head.options.items() if name in names}
    head = HeadConfig(names=names, options=options)
    return Branch(run.task, config.model_copy(update={"head": head}), run.spec.height, run.spec.width)


def collect(run: Trained, store: ImageStore, ids: Ids) -> Outputs:
    """What any head reads of these images."""
    names = sorted({name for names in head_names(run).values() for name in names})
    config = branch_of(run, names)
    detector = Detector(run.task, [], run.spec.height, run.spec.width)
    detector.branches.append(config)
    ((_, outputs),) = gather(detector.eval(), store, ids, whole=True)
    return outputs


def head_names(run: Trained) -> dict[str, list[str]]:
    """Heads to try, by what they are called in the tables."""
    names = {name: [name] for name in ("gaussian", "knn", "centre")}
    if run.task.view_classifier is not None:
        names |= {"logprob": ["logprob"], "logprob+gaussian": ["logprob", "gaussian"]}
    return names


@torch.no_grad()
def region_scores(head: Head, outputs: Outputs) -> Tensor:
    """Scores ``(N, R)``, some images at a time."""
    return torch.cat([head(part) for part in _chunks(outputs)])


def _chunks(outputs: Outputs) -> Iterator[Outputs]:
    for start in range(0, len(outputs), _CHUNK):
        yield outputs.take(slice(start, start + _CHUNK))


def pooled(scores: Tensor, top: int) -> NDArray[np.float64]:
    """Mean of each image's ``top`` highest regions, ``(N,)``."""
    return scores.topk(min(top, scores.shape[1]), dim=1).values.mean(dim=1).double().numpy()


def measured(scores: NDArray[np.float64], samples: list[Sample]) -> dict[str, Any]:
    """AUROC overall and of each kind of defect against all good images."""
    labels = np.array([sample.label for sample in samples])
    defects = np.array([sample.defect for sample in samples])
    good = scores[labels == 0]
    kinds = sorted(set(defects[labels == 1]))
    return {
        "auroc": auroc(good, scores[labels == 1]),
        "per_defect": {kind: auroc(good, scores[(labels == 1) & (defects == kind)]) for kind in kinds},
    }


def evaluate_heads(folder: Path) -> dict[str, Any]:
    """All heads and pools; ``recipe`` is the recipe's own, to compare with what the model file gets."""
    run = load_run(folder)
    known = discover(folder / "test.csv", "test").samples
    store = ImageStore.build([sample.path for sample in known], run.spec, progress=False)
    by_path = {sample.path: sample for sample in known}
    ids = np.array([i for i, name in enumerate(store.hashes) if name not in run.seen], dtype=np.int64)
    samples = [by_path[store.paths[i]] for i in ids]
    train, test = collect(run, run.store, run.train_ids), collect(run, store, ids)
    count = train.rows().shape[0] // len(train)

    own, found = list(run.recipe.head.names), {}
    for name, names in head_names(run).items():
        scores = region_scores(branch_of(run, names).head.fit(train), test)
        for top in POOLS if count > 1 else POOLS[:1]:
            found[f"{name} top {top}"] = measured(pooled(scores, top), samples)
    scores = region_scores(branch_of(run, own).head.fit(train), test)
    recipe = measured(pooled(scores, run.recipe.pool.top), samples)
    return {"regions": count, "recipe": recipe, "heads": found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(evaluate_heads(Path(sys.argv[1]))))
