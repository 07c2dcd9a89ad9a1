"""Every task that `fit` and `pretrain` know: the pretext tasks, and Deep SVDD."""

from onlygood.pretrain.tasks.registry import TASKS, Entry

ALL_TASKS: dict[str, Entry] = {
    **TASKS,
    "svdd": Entry(
        "onlygood.pretrain.tasks.svdd:SVDD",
        "Deep SVDD, Ruff et al. 2018",
        "comparison; one-class features without a pretext task",
        cost=0.5,
    ),
}
