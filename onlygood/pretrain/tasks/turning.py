"""Which tasks must tell turned images from upright ones."""

from collections.abc import Mapping
from typing import Any

from onlygood.pretrain.tasks.registry import TASKS


def tells_turns(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a task with these options must tell an image from its turns; of joined tasks, whether one must.

    Raises:
        OnlygoodError: an unknown name or key.
    """
    entry = TASKS.find(name)
    config = entry.config().parse(dict(options), f"options of task {name!r}")
    parts = getattr(config, "parts", [])
    if parts:
        return any(tells_turns(part.name, part.options) for part in parts)
    return entry.turns and bool(getattr(config, "turns", True))
