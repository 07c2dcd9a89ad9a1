"""Every pretext task under one budget on CIFAR-10: what the encoder knows, what it detects, what it costs.

    python -m benchmarks.pretrain.pretext CIFAR10 --task rotation        # on images of all classes
    python -m benchmarks.pretrain.pretext CIFAR10 --task rotation --good airplane  # on one class
    python -m benchmarks.pretrain.pretext CIFAR10 --task random          # no training; also: supervised

`random` has seen the images with its batch norms; `random-image` the same, each image standardised by itself;
the batch norms of `random-raw` are as they were made.

CIFAR10 holds train/CLASS and test/CLASS, as folders or as train/CLASS.zip and test.zip. One run is one JSON
file under results/pretext; a run that has one is not repeated, and one that was cut off goes on from its
checkpoint. `run_pretext.sh` does all, `pretext_table.py` prints the tables.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import harness
from benchmarks.data import SIDE, cifar10_files
from onlygood.anomaly.evaluation.metrics import auroc
from onlygood.anomaly.heads.gaussian import Gaussian
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.pretrain.data.labels import Labeled, LabeledSet, arrange
from onlygood.pretrain.data.store import ImageStore, Store
from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.probe.features import FrozenEncoder, read, state_digest
from onlygood.pretrain.probe.protocols import protocol_config, run_probe
from onlygood.pretrain.probe.result import EncoderInfo
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.tasks.registry import TASKS, Takes, create_task
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.logs import read_rows
from onlygood.pretrain.training.trainer import train
from onlygood.pretrain.views.views import Standardize, Views, random_view, to_float
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.strict import Strict

ENCODERS = {"mae": "vit-tiny-4", "split-brain": "split-small", "svdd": "lenet"}  # the others: --encoder
OPTIONS: dict[str, dict[str, Any]] = {  # for images of 32 px; everything else is the task's default
    "jigsaw": {"grid": 2},
    "damaged-jigsaw": {"grid": 2},
    "pirl": {"grid": 2},
    "exemplar-triplet": {"crops": 4},
    "patch-svdd": {"views": {"crop": 8}},
}
TRAINING: dict[str, dict[str, Any]] = {
    "mae": {"optimizer": "adamw"},
    "svdd": {"lr": 1e-4, "optimizer": "adamw"},
}
UNTRAINED: dict[str, Standardize] = {"random": "fixed", "random-image": "image", "random-raw": "fixed"}
LABELS = 40  # a class, for tasks that learn from a few
FEW_SHOT: dict[str, Any] = {"shots": [5, 20, 50], "labels": []}


def main() -> None:
    options = _arguments()
    name = run_name(options)
    file = harness.result_file("pretext", name)
    if file.is_file():
        print(f"{name}: has a result")
        return
    torch.set_num_threads(options.threads)
    root = harness.RUNS / "pretext"
    trained, data = images(options, root / "cache")
    task = make_task(options, trained, data)
    training = pretrain(task, trained, options, root / name) if task is not None else {}
    encoder = task.encoder if task is not None else untrained(trained, options)
    eye = FrozenEncoder(encoder, UNTRAINED[options.task] if task is None else task.standardize)
    started = time.process_time()
    classes = [options.good] if options.good else list(data.classes)
    result: dict[str, Any] = {
        "task": options.task,
        "good": options.good,
        "seed": options.seed,
        "encoder": encoder.name,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "standardize": eye.standardize,
        "images": len(trained),
        "data": data.fingerprint,
        "training": training,
        "one_class": one_class(eye, data, trained if options.good else None, classes),
        "probes": {} if options.good else probes(eye, data, options.seed),
        "evaluation_cpu_seconds": round(time.process_time() - started, 1),
        "command": harness.typed_command(options.data),
        "torch": torch.__version__,
        **harness.provenance(),
    }
    harness.write_result(file, result)
    print(f"{name}: {summary(result)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--task", required=True, choices=(*UNTRAINED, "supervised", *TASKS))
    parser.add_argument("--good", help="train on this class alone, all its images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default="small")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--per-class", type=int, default=1000, help="training images of each class")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.good and options.task in ("supervised", "s4l"):
        parser.error("one class alone has nothing to be told apart from")
    return options


def run_name(options: argparse.Namespace) -> str:
    """Names the run by what differs from the defaults."""
    parts = [options.task, options.good or "all"]
    for key, usual in {"encoder": "small", "steps": 2000, "batch_size": 64, "per_class": 1000}.items():
        value = getattr(options, key)
        parts += [f"{key.replace('_', '-')}-{value}"] if value != usual else []
    return "_".join([*parts, f"seed{options.seed}"])


# --- data


def images(options: argparse.Namespace, cache: Path) -> tuple[ImageStore, LabeledSet]:
    """The images to train on, and the labelled ones to probe with: as many a class, and the test part."""
    root = options.data.resolve()
    files = cifar10_files(root)
    classes = list(files["train"])
    if options.good and options.good not in classes:
        sys.exit(f"--good is one of {', '.join(classes)}")
    paths, labels, parts = [], [], []
    for name, given in files["train"].items():
        chosen = [given[i * len(given) // options.per_class] for i in range(options.per_class)]
        for part, found in (("train", chosen), ("test", files["test"][name])):
            paths += found
            labels += [name] * len(found)
            parts += [part] * len(found)
    spec = InputSpec(height=SIDE, width=SIDE, channels=3)

    def store(wanted: list[Path]) -> ImageStore:
        return ImageStore.build(wanted, spec, cache, workers=options.threads, progress=False)

    description = f"CIFAR-10, {options.per_class} images a class to train"
    data = arrange(Labeled(root, paths, labels, parts, description), store(paths), seed=0)
    if options.good:
        return store(files["train"][options.good]), data
    return store([path for path, part in zip(paths, parts, strict=True) if part == "train"]), data


# --- training


def make_task(options: argparse.Namespace, store: ImageStore, data: LabeledSet) -> Task | None:
    """The task on its encoder; None where nothing is trained."""
    if options.task in UNTRAINED:
        return None
    encoder = create_encoder(ENCODERS.get(options.task, options.encoder), seed=options.seed)
    if options.task == "supervised":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return SupervisedTask(encoder, SupervisedConfig(), labels=labels_of(store, data))
    return create_task(
        options.task,
        encoder,
        OPTIONS.get(options.task, {}),
        images=len(store),
        seed=options.seed,
        labelled=few_labels(data) if TASKS[options.task].takes is Takes.LABELS else None,
    )


def untrained(store: ImageStore, options: argparse.Namespace) -> Encoder:
    """Random weights; unless they stay raw, batch norms have the statistics of images, as trained ones do."""
    encoder = create_encoder(options.encoder, seed=options.seed)
    if options.task == "random-raw":
        return encoder.eval()
    return settle(encoder, store, UNTRAINED[options.task], options.seed)


def settle(encoder: Encoder, store: Store, standardize: Standardize, seed: int) -> Encoder:
    """Give the batch norms the statistics of 2,048 images."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average of all batches
    ids = np.random.default_rng(seed).permutation(len(store))[:2048]
    encoder.train()
    with torch.no_grad():
        for part in np.array_split(ids, max(1, len(ids) // 64)):
            encoder(to_float(read(store, part), standardize))
    return encoder.eval()


def few_labels(data: LabeledSet) -> tuple[Tensor, Tensor]:
    """Images and classes of the first LABELS training images of each class."""
    labels = data.train.labels
    chosen = np.concatenate([np.flatnonzero(labels == k)[:LABELS] for k in range(len(data.classes))])
    return read(data.store, data.train.ids[chosen]), torch.from_numpy(labels[chosen])


def labels_of(store: ImageStore, data: LabeledSet) -> Tensor:
    """Class numbers (n,) of the images of ``store``, in its order."""
    known = dict(zip(data.train.hashes, data.train.labels.tolist(), strict=True))
    return torch.tensor([known[digest] for digest in store.hashes])


def pretrain(task: Task, store: ImageStore, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train, going on from a checkpoint if there is one; what it took and how the loss went."""
    settings = {"steps": options.steps, "batch_size": options.batch_size, "precision": options.precision}
    settings |= {"threads": options.threads, "seed": options.seed, **TRAINING.get(options.task, {})}
    config = TrainConfig.parse(settings, "training")
    result = train(task, store, config, folder, resume=True, progress=False)
    losses = [row["loss"] for row in read_rows(result.log)]
    return {
        **config.identity(),
        "options": OPTIONS.get(options.task, {}),
        "cpu_seconds": round(result.cpu_seconds, 1),
        "cpu_seconds_per_1000_images": result.cpu_seconds / (result.steps * options.batch_size) * 1000,
        "losses": [round(float(np.mean(part)), 4) for part in np.array_split(losses, min(10, len(losses)))],
        "metrics": result.metrics,
        "warnings": result.warnings,
    }


class SupervisedConfig(Strict):
    """Crops and flips."""

    views: Views = Field(default_factory=lambda: Views(scale=(0.4, 1.0)))


class SupervisedTask(Task):
    """Cross entropy with the labels: what pretext tasks are measured against."""

    labels: Tensor

    def __init__(
        self,
        encoder: Encoder,
        config: SupervisedConfig,
        standardize: Standardize = "fixed",
        *,
        labels: Tensor,
    ) -> None:
        super().__init__(encoder, config, standardize)
        self.classes = int(labels.max()) + 1
        self.register_buffer("labels", labels)
        self.layer = nn.Linear(encoder.dim, self.classes)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of one view of each image."""
        features = self.encoder(random_view(images, self.standardize, self.config.views, rng))
        logits, labels = self.layer(features).float(), self.labels[ids]
        metrics = {"accuracy": accuracy(logits, labels)}
        return TaskOutput(functional.cross_entropy(logits, labels), metrics, features.detach())


# --- evaluation


def one_class(
    eye: FrozenEncoder, data: LabeledSet, good: ImageStore | None, classes: list[str]
) -> dict[str, list[float]]:
    """AUROC of each class against all others, of each stage: a Gaussian of the averaged features.

    It is fitted to the images ``good`` or, without them, to the class's training images.
    """
    with eye:
        test = eye.features(data.store, data.test.ids)
        train = eye.features(data.store, data.train.ids) if good is None else []
        own = [] if good is None else eye.features(good, np.arange(len(good)))
    found = {}
    for name in classes:
        number = data.classes.index(name)
        ours = [x[torch.from_numpy(data.train.labels == number)] for x in train] or own
        is_good = data.test.labels == number
        found[name] = [area(a, b, is_good) for a, b in zip(ours, test, strict=True)]
    return found


def area(good: Tensor, test: Tensor, is_good: NDArray[np.bool_]) -> float:
    """AUROC of ``test`` (N, D) under a Gaussian fitted to ``good`` (n, D)."""
    head = Gaussian(good.shape[1]).fit(Outputs(good[:, None, None, :]))
    scores = head(Outputs(test[:, None, None, :])).squeeze(1).double().numpy()
    return round(auroc(scores[is_good], scores[~is_good]), 4)


def probes(eye: FrozenEncoder, data: LabeledSet, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of each protocol: linear and kNN of every stage, few-shot of the last."""
    encoder = eye.encoder
    info = EncoderInfo(
        label="", name=encoder.name, channels=3, sha256=state_digest(encoder), source="benchmark"
    )
    last = FrozenEncoder(encoder, eye.standardize, [len(encoder.blocks)])
    found = {}
    for protocol, settings, reader in (("linear", {}, eye), ("knn", {}, eye), ("few-shot", FEW_SHOT, last)):
        result = run_probe(
            protocol,
            protocol_config(protocol, settings),
            reader,
            data,
            info=info,
            source="CIFAR-10",
            seed=seed,
        )
        found[protocol] = [row.model_dump(mode="json") for row in result.rows]
    return found


def summary(result: dict[str, Any]) -> str:
    """One line of the main numbers."""
    areas = np.mean([values[-1] for values in result["one_class"].values()])
    linear = ", ".join(f"{row['value']:.3f}" for row in result["probes"].get("linear", []))
    cost = result["training"].get("cpu_seconds", 0)
    return f"linear {linear or '–'}; one-class AUROC {areas:.3f}; {cost:.0f} CPU s of training"


if __name__ == "__main__":
    main()
