"""Several pretext tasks over one encoder (Doersch & Zisserman 2017, arXiv:1708.07860)."""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.tasks.registry import TASKS, Takes, build_task, material
from onlygood.pretrain.views.patches import left_square
from onlygood.pretrain.views.views import Standardize
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict


class TaskPart(Strict):
    """One of the tasks: its name, the weight of its loss, and its own options."""

    name: str
    weight: float = Field(default=1.0, gt=0)
    options: dict[str, Any] = Field(default_factory=dict)


class MultiConfig(Strict):
    """Two or more tasks.

    ``harmonise`` shows all of them gray images in three equal channels, as the paper does, so that no task
    relies on colors that another one takes away.
    """

    parts: list[TaskPart] = Field(
        default_factory=lambda: [TaskPart(name="rotation"), TaskPart(name="simclr")], min_length=2
    )
    harmonise: bool = False


class MultiTask(Task):
    """The weighted sum of the losses; each task makes its own views, and they pass the encoder by themselves.

    So in training, batch norms standardize every task's views with that task's own statistics. What the norms
    remember for later is a mixture. Tasks should share ``standardize``; where their views differ strongly
    (crops of one, whole images of another), the mixture fits neither.

    Where a part learns from what was cut out of a video, two squares side by side, the others see the left.
    """

    config: MultiConfig

    def __init__(
        self,
        encoder: Encoder,
        config: MultiConfig,
        standardize: Standardize = "fixed",
        *,
        images: int,
    ) -> None:
        super().__init__(encoder, config, standardize)
        for part in config.parts:
            if TASKS.find(part.name).takes is Takes.LABELS:
                raise OnlygoodError(
                    f"multi-task cannot join {part.name!r}: it learns from labels, and all parts see "
                    "the same plain images; train it alone"
                )
        self.video = material("multi-task", config.model_dump()).video
        self.takes_video = [material(part.name, part.options).video for part in config.parts]
        self.parts = nn.ModuleList(
            build_task(part.name, encoder, part.options, standardize, images=images) for part in config.parts
        )

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """``Σ weight · loss``; the metrics ``<number>_<name>`` are the single losses."""
        if self.config.harmonise:
            images = images.float().mean(dim=1, keepdim=True).byte().expand_as(images)
        total, metrics, features = torch.zeros((), device=images.device), {}, []
        plain = left_square(images) if self.video else images
        for number, (part, task) in enumerate(zip(self.config.parts, self._tasks(), strict=True), 1):
            output = task.loss(images if self.takes_video[number - 1] else plain, ids, rng)
            total = total + part.weight * output.loss
            metrics[f"{number}_{part.name}"] = output.loss.detach()
            if output.features is not None:
                features.append(output.features)
        return TaskOutput(total, metrics, torch.cat(features))

    def embed(self, images: Tensor) -> Tensor:
        """Features ``(B, D)`` of plain images, or of the left of two squares."""
        return super().embed(left_square(images) if self.video else images)

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Start the epoch of every task; the features are computed once."""
        found: list[Tensor] = []

        def once() -> Tensor:
            if not found:
                found.append(embed())
            return found[0]

        for task in self._tasks():
            task.start_epoch(epoch, once)

    def after_step(self, progress: float) -> None:
        """Tell every task that a step is done."""
        super().after_step(progress)
        for task in self._tasks():
            task.after_step(progress)

    def param_groups(self) -> list[dict[str, Any]]:
        """Every task's groups; the encoder is in those of the first."""
        groups, seen = [], set[int]()
        for task in self._tasks():
            for group in task.param_groups():
                fresh = [parameter for parameter in group["params"] if id(parameter) not in seen]
                seen |= {id(parameter) for parameter in fresh}
                if fresh:
                    groups.append({**group, "params": fresh})
        return groups

    def _tasks(self) -> list[Task]:
        return list(self.parts)  # type: ignore[arg-type]
