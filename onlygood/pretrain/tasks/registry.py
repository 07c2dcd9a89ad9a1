"""Pretext tasks by name: a new task is one new file and one line here."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.strict import Strict
from onlygood.pretrain.encoders import Encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.cutpaste import CutPasteConfig, CutPasteTask
from onlygood.pretrain.tasks.defects import DefectsConfig, DefectsTask
from onlygood.pretrain.tasks.rotation import RotationConfig, RotationTask
from onlygood.pretrain.tasks.simclr import SimCLRConfig, SimCLRTask
from onlygood.pretrain.views import Standardize


class Entry(NamedTuple):
    """A task's class ``(encoder, config, standardize)`` and the class of its config."""

    task: Callable[[Encoder, Any, Standardize], Task]
    config: type[Strict]


TASKS: dict[str, Entry] = {
    "rotation": Entry(RotationTask, RotationConfig),
    "simclr": Entry(SimCLRTask, SimCLRConfig),
    "cutpaste": Entry(CutPasteTask, CutPasteConfig),
    "defects": Entry(DefectsTask, DefectsConfig),
}


def create_task(
    name: str,
    encoder: Encoder,
    options: Mapping[str, Any],
    standardize: Standardize,
    tasks: Mapping[str, Entry] = TASKS,
) -> Task:
    """A task by name; ``options`` are its config's keys.

    Raises OnlygoodError that names the nearest name or key.
    """
    if name not in tasks:
        near = difflib.get_close_matches(name, tasks, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(tasks)}"
        raise OnlygoodError(f"no pretext task {name!r}; {hint}")
    entry = tasks[name]
    return entry.task(encoder, entry.config.parse(dict(options), f"options of task {name!r}"), standardize)
