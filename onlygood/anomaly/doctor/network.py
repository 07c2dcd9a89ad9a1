"""What practitioners check by hand when a network does not learn, on the recipe's task and these images."""

import math
from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from onlygood.anomaly.doctor.findings import Finding
from onlygood.anomaly.doctor.trial import Build, Trace, descend, shuffled, stage_maps
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.views.views import to_float

IMAGES = 48  # that a trial looks at
_BATCH = 16
_STEPS = 40
_START = (0.5, 1.6)  # times log K
_FITTED, _HALVED, _LOWER = 0.9, 0.6, 0.97  # accuracy, or the share of the loss that is left, K-way or not
_LEAK = 0.4  # of the way from chance to perfect: classes may be unbalanced, such as windows with a defect
_SPREAD = (0.5, 2.0)
_DEAD = 0.25  # of the channels of a stage
_UPDATES = (1e-5, 5e-2)  # around 1e-3 is healthy
_ALONE = 1e-3  # relative difference of an image's features, alone or among others


def examine_network(build: Build, images: Tensor, config: TrainConfig) -> Iterator[Finding]:
    """Findings about a task that ``build`` makes, untrained, on ``images`` uint8 ``(n, C, H, W)``."""
    torch.manual_seed(config.seed)
    fresh = build()
    yield from activations(fresh, images[:_BATCH])
    task = deepcopy(fresh)
    norms = _statistics(task)
    trace = descend(task, images, config, _STEPS, batch=_BATCH)
    yield from numbers(trace)
    if trace.infinite:
        return
    yield from at_start(trace, fresh.classes)
    yield from parameters(task, trace)
    yield from updates(trace)
    yield from modes(task, images[:_BATCH], norms)
    yield from overfits(deepcopy(fresh), images[:_BATCH], config)
    if fresh.classes is not None and trace.accuracies:
        yield from leaks(deepcopy(fresh), images, config)


def numbers(trace: Trace) -> Iterator[Finding]:
    """Is every number finite?"""
    if trace.infinite:
        yield Finding(
            "not a number",
            "problem",
            f"{trace.infinite} is not a finite number",
            "from here on every weight is lost",
            "lower the learning rate (--set training.lr=…); where it happens in the first step, a loss takes "
            "the logarithm or the root of nothing",
        )


def at_start(trace: Trace, classes: int | None) -> Iterator[Finding]:
    """Does a K-way task begin at log K?"""
    if classes is None:
        return
    guess = math.log(classes)
    first = trace.cross_entropies[0]
    if not _START[0] * guess <= first <= _START[1] * guess:
        yield Finding(
            "loss at start",
            "problem" if first < guess else "warning",
            f"the loss begins at {first:.3f}, and an untrained network that guesses among {classes} has "
            f"{guess:.3f}",
            "below, the task is solved before it is learned: labels leak, or classes are missing; above, the "
            "last layer is so large that the first steps only shrink it",
            "check the task's labels and classes; give its last layer a smaller start",
        )


def parameters(task: Task, trace: Trace) -> Iterator[Finding]:
    """Which parameters are not trained: switched off, or reached by no gradient?"""
    frozen = [name for name, p in task.named_parameters() if not p.requires_grad]
    encoder = [name for name in frozen if name.startswith("encoder.")]
    if encoder:
        total = sum(1 for _ in task.encoder.parameters())
        yield Finding(
            "frozen",
            "warning" if len(encoder) < total else "problem",
            f"{len(encoder)} of {total} parameters of the encoder are not trained, such as {encoder[0]}",
            "the task can then only be learned by what lies behind them",
            "switch requires_grad on, unless this is what you want",
            tuple(encoder[:20]),
            len(encoder),
        )
    if silent := sorted(trace.silent):
        yield Finding(
            "dead parameters",
            "problem" if any(name.startswith("encoder.") for name in silent) else "warning",
            f"{len(silent)} parameters never got a gradient, such as {silent[0]}",
            "the loss does not depend on them: they stay as they were drawn, and what reads them reads noise",
            "check that the loss uses them, and that nothing is detached on the way",
            tuple(silent[:20]),
            len(silent),
        )


def updates(trace: Trace) -> Iterator[Finding]:
    """How large are steps, relative to the weights?"""
    moved = sorted(value for name, value in trace.updates.items() if name not in trace.silent)
    if not moved:
        return
    middle = moved[len(moved) // 2]
    if not _UPDATES[0] <= middle <= _UPDATES[1]:
        slow = middle < _UPDATES[0]
        yield Finding(
            "updates",
            "problem",
            f"a step changes half of the weight tensors by less than {middle:.1g} of their size; healthy "
            "trainings do by about 1e-3",
            "at this pace nothing is learned in time" if slow else "weights jump about and settle nowhere",
            "a learning rate about "
            f"{max(2, round(1e-3 / middle)) if slow else max(2, round(middle / 1e-3)):g} times as "
            f"{'large' if slow else 'small'}: --set training.lr=…",
        )


def activations(task: Task, images: Tensor) -> Iterator[Finding]:
    """Do untrained stages keep the scale of what goes through, and are their channels alive?"""
    maps = stage_maps(task, to_float(images, task.standardize))
    odd, dead = [], []
    for number, stage in enumerate(maps, 1):
        spread = float(stage.std())
        if not _SPREAD[0] <= spread <= _SPREAD[1]:
            odd.append(f"stage {number}: {spread:.2g}")
        channels = stage.transpose(0, 1).flatten(1)
        share = float((channels == channels[:, :1]).all(dim=1).float().mean())
        if share > _DEAD:
            dead.append(f"stage {number}: {share:.0%}")
    if odd:
        yield Finding(
            "activation spread",
            "warning",
            f"the standard deviation of maps is outside {_SPREAD[0]:g} to {_SPREAD[1]:g}: {', '.join(odd)}",
            "signals and gradients shrink or grow from stage to stage, and training is slow or diverges",
            "normalize between layers, or scale initial weights; check how images are standardized",
        )
    if dead:
        yield Finding(
            "dead channels",
            "warning",
            f"channels that say the same at every place of every image: {', '.join(dead)}",
            "they can tell nothing, and ReLUs that are always off never learn",
            "check initial weights and biases, and how images are standardized",
        )


def overfits(task: Task, images: Tensor, config: TrainConfig) -> Iterator[Finding]:
    """Can a single batch be learned by heart?"""
    trace = descend(task, images, config, _STEPS, batch=len(images), same=True)
    if trace.infinite:
        yield from numbers(trace)
        return
    left = trace.losses[-1] / trace.losses[0] if trace.losses[0] > 0 else 1.0
    accuracy, k_way = trace.accuracy, task.classes is not None
    learned = left < (_HALVED if k_way else _LOWER) or (k_way and (accuracy or 0) >= _FITTED)
    if not learned:
        said = "" if accuracy is None else f" and the accuracy {accuracy:.0%}"
        yield Finding(
            "overfits a batch",
            "problem" if left > _LOWER else "warning",
            f"after {_STEPS} steps on the same {len(images)} views {left:.0%} of the loss are left{said}",
            "a network that cannot learn one batch by heart learns nothing from many: the gradient does not "
            "reach it, the learning rate is wrong, or the labels do not belong to the images",
            "try other learning rates (--set training.lr=…); where none helps, look at the views and labels",
        )


def leaks(task: Task, images: Tensor, config: TrainConfig) -> Iterator[Finding]:
    """Is a task still solved where labels and images do not belong together?"""
    with shuffled(task, config.seed):
        trace = descend(task, images, config, _STEPS, batch=_BATCH)
    chance = 1 / (task.classes or 1)
    accuracy = trace.accuracy or 0.0
    if accuracy > chance + _LEAK * (1 - chance):
        yield Finding(
            "shuffled labels",
            "problem",
            f"where every image gets another one's label the accuracy is {accuracy:.0%}, and guessing gives "
            f"{chance:.0%}",
            "labels reach the network by another way than the image: the task is solved without looking",
            "look at how labels are made, and at what else the classifier is given",
        )


def _statistics(task: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.named_buffers() if name.endswith("running_mean")}


def modes(task: Task, images: Tensor, before: dict[str, Tensor]) -> Iterator[Finding]:
    """Do batch norms learn statistics while training, and use them afterwards, and does nothing else vary?

    ``before`` are running means before the training of ``task``.
    """
    after = _statistics(task)
    still = sorted(name for name, value in before.items() if torch.equal(value, after[name]))
    if still:
        yield Finding(
            "batch norm statistics",
            "problem",
            f"the statistics of {len(still)} of {len(before)} batch norms did not move, such as {still[0]}",
            "scoring uses these statistics instead of the batch's: the encoder that scores is another one "
            "than was trained",
            "train with these modules in training mode and a momentum above 0",
            tuple(still[:20]),
            len(still),
        )
    task.eval()
    with torch.no_grad():
        together = task.embed(images)
        alone = torch.cat([task.embed(image[None]) for image in images])
        again = task.embed(images)
    scale = float(together.abs().mean()) + 1e-12
    gap = max(float((together - other).abs().mean()) for other in (alone, again)) / scale
    if not gap <= _ALONE:
        yield Finding(
            "evaluation mode",
            "problem",
            f"features of an image differ by {gap:.1%} between two looks at it, alone or among others",
            "a score then depends on which images are scored together: batch norms or dropout are still in "
            "training mode",
            "make eval() reach all modules",
        )
