"""From a recipe and good images to a fitted detector."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from onlygood.anomaly.choosing import choose, set_aside
from onlygood.anomaly.data.attention import Attention
from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.detector import Detector, create_detector
from onlygood.anomaly.gather import gather
from onlygood.anomaly.heads.footing import unseen_scores
from onlygood.anomaly.heads.registry import HeadConfig
from onlygood.anomaly.looks import Likeness, spread, thumbnails
from onlygood.anomaly.parts import Parts, choose_parts
from onlygood.anomaly.plan import FEWEST
from onlygood.anomaly.recipe import FeaturesConfig, Recipe
from onlygood.anomaly.suspects import Judged, cross_fitted
from onlygood.pretrain.data.cachedir import find_cache
from onlygood.pretrain.data.plan import plan_input
from onlygood.pretrain.data.store import ImageStore, survey_images
from onlygood.pretrain.networks.start import Start, start_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import TASKS, create_task
from onlygood.pretrain.training.checkpoint import FILE_NAME, check_unused
from onlygood.pretrain.training.process import Processes
from onlygood.pretrain.training.trainer import TrainResult, train
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.notes import counted
from onlygood.runtime.model.outliers import distances
from onlygood.runtime.threads import available_cpus

NOTHING_LEARNED = (
    "the encoder is random: nothing was trained, and no weights were given (--encoder-weights FILE)"
)
REPEATS = (
    "the promise may hold only for parts like those seen; name what belongs together (--groups), or leave "
    "repeats out; onlygood doctor tells more"
)
_TORN = 0.02  # of the images, at least: a few alike by chance harm nobody

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
    weights: str | None = None  # SHA-256 of the file of weights that the encoder began with
    dropped: bool = False  # whether suspects were not learned from, and may not be the threshold


def fit(
    recipe: Recipe,
    good: Dataset,
    work: Path,
    *,
    rate: float | None = None,
    drop_suspicious: bool = False,
    attention: Attention | None = None,
    resume: bool = False,
    progress: bool = True,
    cache: Path | None = None,
    say: Say = lambda _: None,
) -> Fitted:
    """Pretrain on the good images and fit the head on the same ones, without the calibration images.

    Of images with equal pixels only one is used: copies would make the calibration promise more than it can
    know. If the samples name groups (parts photographed several times), each group is either trained or
    calibrated on, so that the calibration images are as new to the model as future parts, and the promise is
    for new parts. With ``drop_suspicious``, training images that look out of place to an encoder that has
    learned nothing are not learned from; the promise does not hang on them, for calibration images are only
    ever dropped as `corrected_rate` says. ``work`` holds the log, and the checkpoint from which ``resume``
    continues. Of each image only what ``attention`` leaves is looked at. Decoded images are kept in
    ``cache``, or where all are. ``say`` receives each choice as text.

    Raises:
        OnlygoodError: the recipe and the images do not fit together; raised before the training.
        Helped: there are several processes, and this is not the first.
    """
    check_unused(work / FILE_NAME, resume=resume)
    paths = [sample.path for sample in good.samples]
    tile, stride = recipe.grid()
    survey = survey_images(paths)
    spec, words = plan_input(recipe.input, survey, tile=tile, stride=stride)
    say(words)
    inside = (attention or Attention()).inside(spec, survey.median_width, survey.median_height)
    if inside is not None:
        say(f"{inside.mean():.0%} of each image is looked at")
    start = begin(recipe, spec.channels)
    for line in start.words:
        say(line)
    chosen = recipe.input.model_copy(update={"standardize": start.standardize or "image"})
    recipe = recipe.model_copy(update={"input": chosen})
    task = build_task(recipe, spec.channels, len(paths), start)
    # What does not fit together is an error before the training, not after it.
    create_detector(recipe, task, spec.height, spec.width, inside)
    if cache is None and (note := find_cache().note):
        say(note)
    processes = Processes()
    with processes.first():
        store = ImageStore.build(paths, spec, cache, progress=progress)
    store.look_at(inside)
    for path, reason in store.bad:
        say(f"skipped {path}: {reason}")
    for line in counted(note for _, note in store.notes):
        say(line)
    parts = choose_parts(recipe, good, store, work, rate=rate, resume=resume, say=say)
    doubts = [] if parts.grouped else repeats(store, parts)
    torch.set_num_threads(recipe.training.threads or available_cpus())
    judged = judge(recipe, store, parts, processes.device)
    if drop_suspicious:
        parts = replace(parts, train=dropped(parts.train, judged, say))
    config = recipe.training.fitted_to(len(parts.train), say=say)
    recipe = recipe.model_copy(update={"training": config})
    learn, judges = parts.train, None
    if recipe.choose and len(recipe.branches) > 1:
        learn, judges = set_aside(parts, recipe.choose.share, config.seed)
    training = train(task, store, config, work, ids=learn, resume=resume, progress=progress, pictured=True)
    processes.only_the_first()
    meant = all(branch.features.untrained for branch in recipe.all_branches())
    if config.steps == 0 and recipe.encoder_weights is None and not meant:
        doubts.append(NOTHING_LEARNED)
    training = replace(training, warnings=[*training.warnings, *doubts])
    if recipe.choose and judges is not None:
        candidates = fit_head(recipe, task, store, learn, progress=progress)
        branches = choose(
            recipe.choose, candidates, recipe.branches, store, judges, seed=config.seed, say=say
        )
        recipe = recipe.model_copy(update={"branches": branches})
    detector = fit_head(recipe, task, store, parts.train, progress=progress)
    root = good.root if good.root.is_dir() else good.root.parent
    return Fitted(detector, task, recipe, store, parts, training, root, judged, start.sha256, drop_suspicious)


def begin(recipe: Recipe, channels: int) -> Start:
    """The recipe's encoder for images of ``channels``, with its weights if it names any."""
    asked = recipe.input.standardize
    return start_encoder(
        recipe.encoder,
        channels,
        seed=recipe.training.seed,
        weights=recipe.encoder_weights,
        standardize=None if asked == "auto" else asked,
    )


def build_task(recipe: Recipe, channels: int, images: int, start: Start | None = None) -> Task:
    """The recipe's encoder, or that of ``start``, under its task, for at most ``images`` images.

    If regions of the first branch are tiles or cells, the task trains on crops of their size, where it has
    views.
    """
    start = start or begin(recipe, channels)
    options = dict(recipe.task.options)
    regions = recipe.all_branches()[0].regions
    kind = TASKS.find(recipe.task.name).config()
    if regions.kind != "whole" and "views" in kind.model_fields:
        views = options.get("views")
        if views is None:  # the task's own, and not none at all
            views = kind.model_fields["views"].get_default(call_default_factory=True).model_dump()
            views |= {"crop": regions.size}
        options["views"] = {"crop": regions.size, **views}
    return create_task(
        recipe.task.name,
        start.encoder,
        options,
        start.standardize or "image",
        images=images,
        seed=recipe.training.seed,
    )


def fit_head(
    recipe: Recipe, task: Task, store: ImageStore, train_ids: NDArray[np.int64], *, progress: bool = False
) -> Detector:
    """The recipe's heads, fitted on the regions of training images; of some, where all would be too many.

    With several branches each one's footing is learned first: half of the images by a copy of its head that
    is fitted on the other half, so that no head has seen what it is measured on.
    """
    detector = create_detector(recipe, task, store.spec.height, store.spec.width, store.inside)
    several = len(detector.branches) > 1
    found = gather(detector, store, train_ids, whole=several, seed=recipe.training.seed, progress=progress)
    detector.cpu()
    for branch, (_, outputs) in zip(detector.every_branch(), found, strict=True):
        if several:
            branch.footing.fit(branch.pool(unseen_scores(branch.head, outputs)))
        branch.head.fit(outputs)
    return detector.eval()


def repeats(store: ImageStore, parts: Parts) -> list[str]:
    """Warnings where images look like repeats of few parts that nobody has named."""
    sides = parts.sides()
    ids = spread(np.sort(np.array(list(sides))))
    likeness = Likeness.of(thumbnails(store, ids))
    if likeness is None:
        return []
    seen = []
    if likeness.repeated:
        seen.append(f"{len(ids)} images show only {likeness.looks} different looks")
    if likeness.sequence:
        seen.append(f"of {likeness.in_turn:.0%} of the images the most similar one is next to them by name")
    torn = [i for places in likeness.several() if len({sides[i] for i in ids[places]}) > 1 for i in places]
    if len(torn) >= _TORN * len(ids):
        seen.append(f"{len(torn)} images have near-copies on the other side of the split")
    return [f"{words}: {REPEATS}" for words in seen]


def judge(recipe: Recipe, store: ImageStore, parts: Parts, device: torch.device) -> Judged:
    """The training images as one sees them who has learned nothing of them: see `cross_fitted`."""
    plain = unlearned(recipe)
    untrained = build_task(plain, store.spec.channels, len(store)).to(device)
    detector = create_detector(plain, untrained, store.spec.height, store.spec.width, store.inside)
    ((ids, outputs),) = gather(detector, store, parts.train, whole=True)
    (branch,) = detector.cpu().every_branch()
    return cross_fitted(branch, outputs, ids, [parts.name_of[i] for i in ids])


def dropped(train_ids: NDArray[np.int64], judged: Judged, say: Say) -> NDArray[np.int64]:
    """The training images without suspects.

    Raises:
        OnlygoodError: too few are left.
    """
    left = np.setdiff1d(train_ids, judged.ids[distances(judged.scores) > 1])
    if len(left) < FEWEST:
        raise OnlygoodError(
            f"without suspects {len(left)} images are left to learn from: {FEWEST} are the least"
        )
    say(f"{len(train_ids) - len(left)} suspicious images are not learned from")
    return left


def unlearned(recipe: Recipe) -> Recipe:
    """A Gaussian over the regions of the first branch, of features of an untrained encoder.

    Or of those of one that keeps weights of others.
    """
    first = recipe.all_branches()[0]
    features = FeaturesConfig(stages=first.features.stages)  # regions may fit the maps of these alone
    head = HeadConfig(names=["gaussian"])
    first = first.model_copy(update={"head": head, "features": features})
    weights = recipe.encoder_weights if recipe.training.steps == 0 else None
    return recipe.model_copy(update={"encoder_weights": weights, "branches": [first]})
