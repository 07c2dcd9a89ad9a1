"""``summary.png`` in the folder of a run: one look at how a training went, for those who were not there."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.fit import Fitted
from onlygood.anomaly.gather import spread
from onlygood.deploy.export import Exported
from onlygood.pretrain.data.store import ImageStore
from onlygood.pretrain.summary import page, panels
from onlygood.pretrain.summary.measures import embedded, plane, view_accuracy
from onlygood.pretrain.summary.style import save
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.training.logs import read_rows
from onlygood.pretrain.training.trainer import TrainResult
from onlygood.runtime.images.files import display
from onlygood.runtime.model.calibration import threshold

FILE_NAME = page.FILE_NAME
_PLOTTED = 200  # images of each kind among the features

Ids = NDArray[np.int64]


def write_fit_summary(folder: Path, fitted: Fitted, exported: Exported) -> None:
    """How a detector learned, and the good images that it likes least."""
    store, held_out = fitted.store, exported.held_out
    calibration = exported.metadata.calibration
    limit = threshold(np.asarray(calibration.scores), calibration.max_false_alarms, calibration.weights())
    task = fitted.task.eval()
    some = spread(held_out.ids, _PLOTTED)
    flagged = held_out.ids[held_out.scores > limit]
    training = fitted.training
    shown = _learned(task, training)
    if found := view_accuracy(task, store, some):
        shown.append(partial(panels.view_bars, found=found))
    shown.append(
        partial(
            panels.score_histogram,
            scores=held_out.scores,
            threshold=limit,
            promised=calibration.max_false_alarms,
        )
    )
    shown.append(_projected(task, store, spread(fitted.parts.train, _PLOTTED), some, flagged))
    pictures = []
    for at in np.argsort(-held_out.scores, kind="stable")[: page.PICTURES]:
        number, score = int(held_out.ids[at]), float(held_out.scores[at])
        words = f"{display(store.paths[number].name)}\n{score:.4g}"
        pixels = store.batch(np.array([number]))[0]
        pictures.append(page.Picture(pixels, words, score > limit))
    figure = page.page(
        f"Recipe {fitted.recipe.name}: {len(fitted.parts.train)} good images learned from,"
        f" {len(held_out.ids)} held out",
        _length(training),
        shown,
        pictures=pictures,
        pictures_title="Good images held out that look least good to it: are they good?",
        warnings=training.warnings,
    )
    save(figure, folder / FILE_NAME)


def write_pretrain_summary(
    folder: Path, name: str, task: Task, store: ImageStore, training: TrainResult
) -> None:
    """How an encoder learned by the task ``name``."""
    task.eval()
    nobody = np.empty(0, np.int64)
    shown = _learned(task, training)
    found = view_accuracy(task, store, spread(np.arange(len(store)), _PLOTTED))
    shown += [partial(panels.view_bars, found=found)] if found else []
    shown.append(_projected(task, store, spread(np.arange(len(store)), _PLOTTED), nobody, nobody))
    figure = page.page(
        f"Task {name} on {len(store)} images", _length(training), shown, warnings=training.warnings
    )
    save(figure, folder / FILE_NAME)


def _learned(task: Task, training: TrainResult) -> list[page.Panel]:
    """The curves of the log, where something was learned."""
    rows = read_rows(training.log) if training.steps else []
    if not rows:
        return []
    found = [partial(panels.loss_curve, rows=rows, classes=task.classes)]
    if any("accuracy" in row for row in rows):
        found.append(partial(panels.accuracy_curve, rows=rows, classes=task.classes))
    return list(found)


def _projected(task: Task, store: ImageStore, learned: Ids, held_out: Ids, flagged: Ids) -> page.Panel:
    ids = np.concatenate([learned, held_out])
    points, share = plane(embedded(task, store, ids))
    of_held_out = np.arange(len(ids)) >= len(learned)
    above = of_held_out & np.isin(ids, flagged)
    return partial(panels.projection, points=points, share=share, held_out=of_held_out, flagged=above)


def _length(training: TrainResult) -> str:
    if not training.steps:
        return "nothing was trained"
    minutes, cpu = training.seconds / 60, training.cpu_seconds / 60
    return f"{training.steps} steps in {minutes:.1f} min ({cpu:.1f} CPU min), {training.precision}"
