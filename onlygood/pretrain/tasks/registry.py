"""Pretext tasks by name: a new task is one new file and one entry here.

Nothing heavy is imported until a task is made, so that ``onlygood tasks`` answers at once.
"""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.strict import Strict

if TYPE_CHECKING:
    from onlygood.pretrain.encoders import Encoder
    from onlygood.pretrain.tasks.base import Task
    from onlygood.pretrain.views import Standardize


@dataclass(frozen=True)
class Entry:
    """Where a task is, and what a user wants to know of it."""

    where: str  # "module:Name", of the classes NameTask and NameConfig
    paper: str
    good_for: str
    needs: str = ""  # beyond images
    per_image: bool = False  # keeps something for each training image, and is told how many there are

    def config(self) -> type[Strict]:
        """The class of its options."""
        return self._load("Config")  # type: ignore[no-any-return]

    def task(self) -> Any:
        """Its class, ``(encoder, config, standardize)`` and where it is ``per_image`` ``images``."""
        return self._load("Task")

    def _load(self, kind: str) -> Any:
        module, _, name = self.where.partition(":")
        return getattr(importlib.import_module(module), name + kind)


_HERE = "onlygood.pretrain.tasks"

TASKS: dict[str, Entry] = {
    "rotation": Entry(
        f"{_HERE}.rotation:Rotation",
        "RotNet, Gidaris et al. 2018",
        "objects with an upright pose",
    ),
    "geometric": Entry(
        f"{_HERE}.geometric:Geometric",
        "GEOM, Golan & El-Yaniv 2018",
        "small images of one object; 72 transforms by default",
    ),
    "simclr": Entry(
        f"{_HERE}.simclr:SimCLR",
        "SimCLR, Chen et al. 2020",
        "general features; large batches",
    ),
    "mae": Entry(
        f"{_HERE}.mae:MAE",
        "Masked autoencoder, He et al. 2022",
        "transformers and long training",
        "an encoder vit-tiny-4 or vit-tiny-8",
    ),
    "multi-task": Entry(
        f"{_HERE}.multi_task:Multi",
        "Doersch & Zisserman 2017",
        "features that no single task gives; choose the parts",
        per_image=True,
    ),
    "cutpaste": Entry(
        f"{_HERE}.cutpaste:CutPaste",
        "CutPaste, Li et al. 2021",
        "local defects of objects",
    ),
    "defects": Entry(
        f"{_HERE}.defects:Defects",
        "in the line of CutPaste and NSA, Schlüter et al. 2022",
        "local defects of surfaces",
    ),
}


def create_task(
    name: str,
    encoder: "Encoder",
    options: Mapping[str, Any],
    standardize: "Standardize | None" = None,
    tasks: Mapping[str, Entry] = TASKS,
    *,
    images: int,
    seed: int,
) -> "Task":
    """``build_task`` with initial weights that follow from ``seed`` alone."""
    import torch  # noqa: PLC0415

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_task(name, encoder, options, standardize, tasks, images=images)


def build_task(
    name: str,
    encoder: "Encoder",
    options: Mapping[str, Any],
    standardize: "Standardize | None" = None,
    tasks: Mapping[str, Entry] = TASKS,
    *,
    images: int,
) -> "Task":
    """A task by name; ``options`` are its config's keys.

    ``standardize`` None is the task's own default. ``images`` is the number of training images, or more:
    tasks that remember each image make room for so many.

    Raises OnlygoodError that names the nearest name or key.
    """
    if name not in tasks:
        near = difflib.get_close_matches(name, tasks, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(tasks)}"
        raise OnlygoodError(f"no pretext task {name!r}; {hint}")
    entry = tasks[name]
    arguments: dict[str, Any] = {} if standardize is None else {"standardize": standardize}
    if entry.per_image:
        arguments["images"] = images
    config = entry.config().parse(dict(options), f"options of task {name!r}")
    task: Task = entry.task()(encoder, config, **arguments)
    return task
