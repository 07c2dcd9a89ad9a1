"""A few steps of training on a few images, in which everything is watched."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.process import mix
from onlygood.pretrain.training.trainer import create_optimizer

_WARM = 5  # steps until the learning rate is the configured one


@dataclass
class Trace:
    """What was seen: a value a step, and of parameters by their names."""

    losses: list[float] = field(default_factory=list)
    cross_entropies: list[float] = field(default_factory=list)  # equal to the losses where no task gives them
    accuracies: list[float] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)  # parameters that no step gave a gradient
    updates: dict[str, float] = field(default_factory=dict)  # of weights, relative to them, in the last step
    infinite: str = ""  # what was no finite number, and when

    @property
    def accuracy(self) -> float | None:
        """Over the last third of the steps."""
        tail = self.accuracies[-max(1, len(self.accuracies) // 3) :]
        return sum(tail) / len(tail) if tail else None


def descend(
    task: Task,
    images: Tensor,
    config: TrainConfig,
    steps: int,
    *,
    batch: int,
    same: bool = False,
) -> Trace:
    """Train ``task`` in place on ``images`` uint8 ``(n, C, H, W)``; on the ``same`` batch or all.

    Ends at the first number that is not finite.
    """
    optimizer, trace = create_optimizer(task, config), Trace()
    rng = torch.Generator(images.device)
    named = [(name, p) for name, p in task.named_parameters() if p.requires_grad]
    trace.silent = {name for name, _ in named}
    task.train()
    start(task, images)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, (step + 1) / _WARM)
        seed = mix(config.seed, 0 if same else step)
        rng.manual_seed(seed)
        torch.manual_seed(seed)
        order = torch.arange(len(images)) if same else torch.randperm(len(images), generator=rng)
        ids = order[:batch]
        output: TaskOutput = task(images[ids], ids, rng)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(output.loss)
        _note(trace, output)
        alive = [name for name, p in named if p.grad is not None and bool(p.grad.any())]
        trace.silent.difference_update(alive)
        bad = next(
            (name for name, p in named if p.grad is not None and not bool(p.grad.isfinite().all())), ""
        )
        if bad or not bool(output.loss.isfinite()):
            trace.infinite = f"the gradient of {bad}" if bad else "the loss"
            trace.infinite += f" at step {step + 1}"
            return trace
        last = step == steps - 1
        before = {name: p.detach().clone() for name, p in named if p.ndim >= 2} if last else {}
        optimizer.step()
        for name, p in named:
            if name in before and float(before[name].norm()) > 0:
                trace.updates[name] = float((p.detach() - before[name]).norm() / before[name].norm())
        task.after_step((step + 1) / steps)
    return trace


def start(task: Task, images: Tensor) -> None:
    """What the trainer does before an epoch; pseudo-labels are made of all images."""

    def embed() -> Tensor:
        task.eval()
        with torch.no_grad():
            features = torch.cat([task.embed(part).float() for part in torch.split(images, 32)])
        task.train()
        return features

    task.start_epoch(0, embed)


def _note(trace: Trace, output: TaskOutput) -> None:
    loss = float(output.loss.detach())
    trace.losses.append(loss)
    trace.cross_entropies.append(float(output.metrics.get("cross_entropy", loss)))
    if "accuracy" in output.metrics:
        trace.accuracies.append(float(output.metrics["accuracy"]))


@contextmanager
def shuffled(task: Task, seed: int = 0) -> Iterator[None]:
    """Within, what the encoder says of an image is said of another one of the batch: labels mean nothing."""
    rng = torch.Generator().manual_seed(seed)

    def mixed(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out[torch.randperm(len(out), generator=rng).to(out.device)]

    hook = task.encoder.blocks[-1].register_forward_hook(mixed)
    try:
        yield
    finally:
        hook.remove()


def stage_maps(task: Task, x: Tensor) -> list[Tensor]:
    """Maps of all stages of standardized images in training mode; statistics of norms stay as they are."""
    norms = [m for m in task.encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [{name: value.clone() for name, value in norm.named_buffers()} for norm in norms]
    task.train()
    with torch.no_grad():
        maps = task.encoder.stages(x)
        for norm, values in zip(norms, kept, strict=True):
            for name, value in values.items():
                norm.get_buffer(name).copy_(value)
    return maps


Build = Callable[[], Task]
