"""What the summary asks a trained task: where images lie among its features, and which views it tells."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.pretrain.data.store import Store
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.views.fixed import FixedView
from onlygood.pretrain.views.views import to_float

_BATCH_PIXELS = 4_000_000
_VIEWS = 400  # that are shown to the task, of all images together

Ids = NDArray[np.int64]


class ViewAccuracy(NamedTuple):
    """How many of ``images`` are recognized under each view: its name in words, and the share."""

    names: list[str]
    shares: NDArray[np.float64]
    images: int


@torch.no_grad()
def embedded(task: Task, store: Store, ids: Ids) -> NDArray[np.float64]:
    """Features ``(n, D)`` of whole images ``ids`` ``(n,)``."""
    first = _images(task, store, ids[:1])
    size = max(1, _BATCH_PIXELS // max(1, first[0].numel()))
    parts = [
        task.embed(_images(task, store, ids[at : at + size])).float().cpu() for at in range(0, len(ids), size)
    ]
    return torch.cat(parts).double().numpy()


def plane(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Features ``(n, D)`` on their first two principal axes ``(n, 2)``, and the share of variance there.

    Signs are such that the largest coordinate of each axis is positive, so that equal features give equal
    pictures.
    """
    centered = features - features.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centered, full_matrices=False)
    whole = float(np.square(sizes).sum())
    if len(axes) < 2:
        axes, sizes = np.pad(axes, ((0, 2 - len(axes)), (0, 0))), np.pad(sizes, (0, 2 - len(sizes)))
    points = centered @ axes[:2].T
    largest = points[np.abs(points).argmax(axis=0), [0, 1]]
    share = float(np.square(sizes[:2]).sum()) / whole if whole > 0 else 1.0
    return points * np.where(largest < 0, -1.0, 1.0), share


@torch.no_grad()
def view_accuracy(task: Task, store: Store, ids: Ids) -> ViewAccuracy | None:
    """How often the task tells each of its test views of images ``ids``; None if it has no such views.

    A task that learned from crops is asked about the middle of each image, of that size.
    """
    views, classifier = task.test_views, task.view_classifier
    if classifier is None or views.count < 2:
        return None
    ids = ids[: max(1, _VIEWS // views.count)]
    x = to_float(_images(task, store, ids), task.standardize)
    crop = getattr(getattr(task.config, "views", None), "crop", None)
    side = min(x.shape[2:]) if crop is None else min(crop, *x.shape[2:])
    top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
    x = x[:, :, top : top + side, left : left + side]
    shares = np.zeros(views.count)
    for which in views.groups(side, side):
        for number in which:
            logits = classifier(task.encoder(views(x, [number])[:, 0]))
            shares[number] = float((logits.argmax(dim=1) == views.classes[number]).float().mean())
    return ViewAccuracy([in_words(view) for view in views.views], shares, len(ids))


def in_words(view: FixedView) -> str:
    """``turned 90°, mirrored``; the image itself is ``as it is``."""
    words = [f"turned {90 * view.turn}°"] if view.turn else []
    if view.flip:
        words.append("mirrored")
    if view.right or view.down:
        words.append(f"shifted {view.right}, {view.down} px")
    if view.zoom != 1:
        words.append(f"enlarged {1 / view.zoom:.2g} times")
    return ", ".join(words) or "as it is"


def _images(task: Task, store: Store, ids: Ids) -> Tensor:
    return torch.from_numpy(store.batch(ids)).permute(0, 3, 1, 2).to(task.progress.device)
