"""From a recipe and good images to a fitted detector."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.detector import Detector
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.heads.registry import HEADS, HeadConfig, check_needs, create_head
from onlygood.anomaly.parts import Parts, choose_parts
from onlygood.anomaly.recipe import Recipe
from onlygood.anomaly.regions import create_regions
from onlygood.anomaly.suspects import Judged, cross_fitted
from onlygood.pretrain.data.cachedir import find_cache
from onlygood.pretrain.data.plan import plan_input
from onlygood.pretrain.data.store import ImageStore, survey_images
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import create_task
from onlygood.pretrain.training.checkpoint import FILE_NAME, check_unused
from onlygood.pretrain.training.trainer import TrainResult, train
from onlygood.runtime.images.notes import counted

_REGIONS_TO_FIT = 200_000  # a head is fitted on the features of at most so many regions

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fitted:
    """A detector with everything that the export writes about it."""

    detector: Detector
    task: Task
    recipe: Recipe
    store: ImageStore
    parts: Parts
    training: TrainResult
    root: Path  # folder of the images, or of the list that named them
    judged: Judged  # cross-fitted scores of the training images


def fit(
    recipe: Recipe,
    good: Dataset,
    work: Path,
    *,
    rate: float | None = None,
    resume: bool = False,
    progress: bool = True,
    say: Say = lambda _: None,
) -> Fitted:
    """Pretrain on the good images and fit the head on the same ones, without the calibration images.

    Of images with equal pixels only one is used: copies would make the calibration promise more than it can
    know. If a list names groups (parts photographed several times), each group is either trained or
    calibrated on, so that the calibration images are as new to the model as future parts. ``work`` holds the
    log, and the checkpoint from which ``resume`` continues. ``say`` receives each choice as text.

    Raises:
        OnlygoodError: the recipe and the images do not fit together; raised before the training.
    """
    check_unused(work / FILE_NAME, resume=resume)
    paths = [sample.path for sample in good.samples]
    regions = recipe.regions
    tile, stride = regions.grid
    spec, words = plan_input(recipe.input, survey_images(paths), tile=tile, stride=stride)
    say(words)
    task = build_task(recipe, spec.channels, len(paths))
    # Regions that do not fit are an error before the training, not after it.
    create_regions(regions, spec.height, spec.width, task.encoder)
    for name in recipe.head.names:
        check_needs(name, HEADS.find(name).load(), task)
    if note := find_cache().note:
        say(note)
    store = ImageStore.build(paths, spec, progress=progress)
    for path, reason in store.bad:
        say(f"skipped {path}: {reason}")
    for line in counted(note for _, note in store.notes):
        say(line)
    parts = choose_parts(recipe, good, store, work, rate=rate, resume=resume, say=say)
    config = recipe.training.fitted_to(len(parts.train), say=say)
    recipe = recipe.model_copy(update={"training": config})
    training = train(task, store, config, work, ids=parts.train, resume=resume, progress=progress)
    judged = judge(recipe, store, parts, next(task.parameters()).device)
    detector = fit_head(recipe, task, store, parts.train)
    root = good.root if good.root.is_dir() else good.root.parent
    return Fitted(detector, task, recipe, store, parts, training, root, judged)


def build_task(recipe: Recipe, channels: int, images: int) -> Task:
    """The recipe's encoder under its task, for at most ``images`` images.

    If regions are tiles or cells, the task trains on crops of their size.
    """
    weights = Path(recipe.encoder_weights) if recipe.encoder_weights else None
    encoder = create_encoder(recipe.encoder, channels, seed=recipe.training.seed, weights=weights)
    options = dict(recipe.task.options)
    if recipe.regions.kind != "whole":
        options["views"] = {"crop": recipe.regions.size, **options.get("views", {})}
    return create_task(
        recipe.task.name,
        encoder,
        options,
        recipe.input.standardize,
        images=images,
        seed=recipe.training.seed,
    )


def fit_head(recipe: Recipe, task: Task, store: ImageStore, train_ids: NDArray[np.int64]) -> Detector:
    """The recipe's head, fitted on the regions of training images; of some, where all would be too many."""
    detector, _, outputs = look(recipe, task, store, train_ids)
    detector.head.fit(outputs)
    return detector.eval()


def judge(recipe: Recipe, store: ImageStore, parts: Parts, device: torch.device) -> Judged:
    """The training images as one sees them who has learned nothing of them: see `cross_fitted`."""
    # A Gaussian of an untrained encoder's features.
    head = HeadConfig(names=["gaussian"])
    plain = recipe.model_copy(update={"encoder_weights": None, "head": head})
    untrained = build_task(plain, store.spec.channels, len(store)).to(device)
    detector, ids, outputs = look(plain, untrained, store, parts.train)
    return cross_fitted(detector, outputs, ids, [parts.name_of[i] for i in ids])


def look(
    recipe: Recipe, task: Task, store: ImageStore, train_ids: NDArray[np.int64]
) -> tuple[Detector, NDArray[np.int64], Outputs]:
    """A detector with an unfitted head, on the CPU, and what its encoder says of which training images."""
    regions = create_regions(recipe.regions, store.spec.height, store.spec.width, task.encoder)
    head = create_head(recipe.head, task.encoder.dim, task)
    device = next(task.parameters()).device
    detector = Detector(task, regions, head, top=recipe.pool.top).to(device).eval()
    most = max(1, _REGIONS_TO_FIT // regions.count)
    ids = spread(train_ids, most)
    size = detector.batch_size(store.spec.height, store.spec.width)
    outputs = detector.collect(batches(store, ids, size, device))
    return detector.cpu(), ids, outputs


def spread(ids: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of ``ids`` ``(n,)``, at even distances."""
    return ids if len(ids) <= most else ids[np.linspace(0, len(ids) - 1, most).astype(np.int64)]


def batches(store: ImageStore, ids: NDArray[np.int64], size: int, device: torch.device) -> Iterator[Tensor]:
    """Images as uint8 ``(B, C, H, W)``."""
    for start in range(0, len(ids), size):
        yield torch.from_numpy(store.batch(ids[start : start + size])).permute(0, 3, 1, 2).to(device)
