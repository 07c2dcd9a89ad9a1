"""The one training loop: any task, one device or many, exact resume.

Everything random is a function of (seed, step), and everything else that changes is in the state dicts. So a
checkpoint is the step, the model and the optimizer, and going on from it gives the very numbers of a training
that was never interrupted. (With ``minutes`` instead of ``steps``, the clock decides how many there are.)
"""

import hashlib
import math
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.pretrain.data.store import Store
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.training import checkpoint as ckpt
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.feed import Feed
from onlygood.pretrain.training.health import diagnose
from onlygood.pretrain.training.joined import average, joined
from onlygood.pretrain.training.logs import FILE_NAME as LOG_NAME
from onlygood.pretrain.training.logs import TrainLog
from onlygood.pretrain.training.precision import Choice, Precision, autocast, choose
from onlygood.pretrain.training.process import Processes, mix, reproducible, stop_requests
from onlygood.pretrain.training.sheet import FILE_NAME as SHEET
from onlygood.pretrain.training.sheet import write_views
from onlygood.runtime.errors import Interrupted, OnlygoodError
from onlygood.runtime.threads import available_cpus

__all__ = ["Interrupted", "TrainConfig", "TrainResult", "train"]

_HEALTH_IMAGES = 256


@dataclass(frozen=True)
class TrainResult:
    """How a training went.

    ``steps``, ``seconds`` and ``cpu_seconds`` count all resumed runs; ``images_per_second`` and ``data_wait``
    only the last.
    """

    steps: int
    seconds: float
    cpu_seconds: float
    images_per_second: float
    data_wait: float  # share of the time in which the training waited for images
    precision: Precision
    precision_reason: str
    device: str  # "cpu" or the kind of accelerator
    threads: int
    metrics: dict[str, float]  # the last row of the log
    warnings: list[str]
    log: Path


def train(
    task: Task,
    store: Store,
    config: TrainConfig,
    out: Path,
    *,
    ids: NDArray[np.int64] | None = None,
    resume: bool = False,
    progress: bool = True,
    pictured: bool = False,
) -> TrainResult:
    """Train ``task`` in place on images ``ids`` (default: all) of ``store``; checkpoint and log in ``out``.

    A batch larger than the number of images is shrunk to it, so that no image is in it twice. ``resume`` goes
    on from the checkpoint in ``out``, or starts anew if there is none yet. The task stays on the training
    device, in evaluation mode. Sets torch's number of threads; other global state is put back. ``pictured``
    draws what the encoder will be shown into ``out`` first. With 0 steps nothing is trained, written or
    checked.

    Raises:
        Interrupted: a signal came; the checkpoint is written.
        OnlygoodError: nothing to train, no images, a checkpoint that does not fit, an infinite loss.
    """
    if not task.trains and config.steps != 0:
        raise OnlygoodError("this task has nothing to train: give it --steps 0, or training.steps=0")
    processes = Processes()
    ids = np.arange(len(store)) if ids is None else np.asarray(ids, dtype=np.int64)
    if not len(ids):
        raise OnlygoodError("there are no images to train on")
    if config.steps == 0:
        return _untrained(task, config, out, processes)
    config = config.fitted_to(len(ids))
    out.mkdir(parents=True, exist_ok=True)
    identity = _identity(task, store, ids, config)
    path = out / ckpt.FILE_NAME
    saved = ckpt.find_checkpoint(path, identity, resume=resume)
    torch.set_num_threads(config.threads or max(1, available_cpus() // processes.count))
    with reproducible(processes.device), stop_requests() as stop:
        task.to(processes.device).train()
        feed = Feed(store, ids, config.batch_size, config.seed, processes.device)
        run = _Run(task, feed, config, processes, path=path, identity=identity, saved=saved)
        start, before = run.step, run.seconds
        words = _pictured(task, feed, config.seed, start, out) if pictured and not processes.rank else []
        with (
            joined(task) if processes.count > 1 else nullcontext(),
            TrainLog(out, config.batch_size, start, before, show=progress, write=not processes.rank) as log,
        ):
            run.loop(log, stop)
            features = run.embed(np.arange(min(len(ids), _HEALTH_IMAGES)))
    task.to(memory_format=torch.contiguous_format).eval()
    seconds = max(run.seconds - before, 1e-9)
    return TrainResult(
        steps=run.step,
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        images_per_second=(run.step - start) * config.batch_size / seconds,
        data_wait=min(1.0, feed.waited / seconds),
        precision=run.precision,
        precision_reason=run.reason,
        device=processes.device.type,
        threads=torch.get_num_threads(),
        metrics=dict(log.rows[-1]) if log.rows else {},
        warnings=words + diagnose(log.rows, task.classes, config.batch_size, features),
        log=log.path,
    )


def _pictured(task: Task, feed: Feed, seed: int, step: int, out: Path) -> list[str]:
    """Draw the sheet of views; what went wrong, in words, since no picture is worth a training."""
    try:
        drawn = write_views(task, feed, seed, step, out)
    except Exception as error:  # of a task of whatever package, on five images instead of a batch
        return [f"no {SHEET} was drawn: {error}"]
    return [] if drawn else [f"no {SHEET} was drawn: the encoder has no convolution that is shown images"]


def _untrained(task: Task, config: TrainConfig, out: Path, processes: Processes) -> TrainResult:
    """The result of no step; the task is where and how a training would have left it."""
    torch.set_num_threads(config.threads or max(1, available_cpus() // processes.count))
    task.to(processes.device).eval()
    return TrainResult(
        steps=0,
        seconds=0.0,
        cpu_seconds=0.0,
        images_per_second=0.0,
        data_wait=0.0,
        precision="fp32",
        precision_reason="nothing was trained",
        device=processes.device.type,
        threads=torch.get_num_threads(),
        metrics={},
        warnings=[],
        log=out / LOG_NAME,
    )


class _Run:
    """A training in progress: the task, and all that a checkpoint holds of it."""

    def __init__(
        self,
        task: Task,
        feed: Feed,
        config: TrainConfig,
        processes: Processes,
        *,
        path: Path,
        identity: dict[str, Any],
        saved: ckpt.Checkpoint | None,
    ) -> None:
        self.task, self.feed, self.config, self.processes = task, feed, config, processes
        self.device, self.path, self.identity = processes.device, path, identity
        numbers = saved.scalars if saved else {"step": 0, "seconds": 0.0, "cpu_seconds": 0.0}
        self.step = self.saved_step = int(numbers["step"])
        self.seconds, self.cpu_seconds = float(numbers["seconds"]), float(numbers["cpu_seconds"])
        task.to(memory_format=torch.channels_last)  # makes convolutions of either precision faster
        self.precision, self.reason = (
            Choice(saved.scalars["precision"], saved.scalars.get("precision_reason", "as before"))
            if saved
            else self._choose_precision()
        )
        self.optimizer = create_optimizer(task, config)
        if saved:
            ckpt.restore(saved, task, self.optimizer)
        self.rng = torch.Generator(self.device)
        self.window: list[dict[str, Tensor]] = []  # metrics of the steps since the last row of the log

    def loop(self, log: TrainLog, stop: list[int]) -> None:
        """Train to the end, or to a signal in ``stop``."""
        config, began, began_cpu = self.config, time.perf_counter(), time.process_time()
        before, before_cpu, saved_at = self.seconds, self.cpu_seconds, self.seconds
        progress, stopped = config.progress(self.step, self.seconds), 0
        with closing(self.feed.batches(self.step)) as batches:
            while progress < 1 and not stopped:
                if self.step % self.feed.steps_per_epoch == 0:
                    self.task.start_epoch(self.step // self.feed.steps_per_epoch, self.embed)
                    self.processes.align(self.task)
                lr = config.lr_at(progress)
                output = self._descend(*next(batches), lr)
                self.step += 1
                self.seconds = self.processes.largest(before + time.perf_counter() - began)
                stopped = int(self.processes.largest(float(stop[0] if stop else 0)))
                spent = time.process_time() - began_cpu
                progress = config.progress(self.step, self.seconds)
                self.task.after_step(progress)
                log.advance(progress)
                due = self.seconds - saved_at >= 60 * config.checkpoint_minutes
                save = due or progress >= 1 or stopped > 0
                if save or self.step % config.log_every == 0:
                    row = {"progress": progress, "lr": lr, **self._summary(output)}
                    log.write(self.step, self.seconds, self.feed.waited, row)
                if save:
                    self.cpu_seconds = before_cpu + self.processes.sum(spent)
                    self._save()
                    saved_at = self.seconds
        self.processes.align(self.task)
        if progress < 1:
            words = f"stopped at step {self.step} ({progress:.0%}); resume from {self.path.parent}"
            raise Interrupted(words, stopped)

    def embed(self, positions: NDArray[np.int64] | None = None) -> Tensor:
        """Features ``(n, D)`` float32 of the plain images at ``positions`` (default: all), in eval mode."""
        positions = np.arange(len(self.feed)) if positions is None else positions
        parts = np.array_split(positions, math.ceil(len(positions) / self.config.batch_size))
        self.task.eval()
        with torch.no_grad(), autocast(self.device, self.precision):
            features = torch.cat([self.task.embed(self.feed.images(part)).float() for part in parts])
        self.task.train()
        return features

    def _descend(self, images: Tensor, positions: Tensor, lr: float) -> TaskOutput:
        """One optimizer step; all its random draws follow from (seed, step)."""
        seed = mix(self.config.seed, self.step, 0)  # the 0 was the process, when each drew its own
        self.rng.manual_seed(seed)
        torch.manual_seed(seed)  # for dropout, which takes no generator
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with autocast(self.device, self.precision):
            output: TaskOutput = self.task(images, positions, self.rng)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(output.loss)
        if self.processes.count > 1:
            average(list(self.task.parameters()))
        self.optimizer.step()
        self.window.append({"loss": output.loss.detach(), **output.metrics})
        return output

    def _summary(self, output: TaskOutput) -> dict[str, float]:
        """Means over the steps since the last row; only here the loop waits for the device."""
        names = [name for name in self.window[-1] if all(name in step for step in self.window)]
        rows = [torch.stack([step[name].float() for name in names]) for step in self.window]
        table = torch.stack(rows)
        losses: list[float] = table[:, names.index("loss")].tolist()
        for step, loss in enumerate(losses, self.step - len(losses) + 1):
            if not math.isfinite(loss):
                raise self._diverged(f"the loss became {loss} at step {step}")
        self.window.clear()
        summary = dict(zip(names, table.mean(dim=0).tolist(), strict=True))
        if output.features is not None:
            summary["spread"] = float(spread(output.features))
        return summary

    def _save(self) -> None:
        """Replace the checkpoint, unless the weights are no longer finite."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.task.parameters()):
            raise self._diverged(f"the weights are no longer finite at step {self.step}")
        self.saved_step = self.step
        if self.processes.rank == 0:
            numbers = {"step": self.step, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
            precision = {"precision": self.precision, "precision_reason": self.reason}
            scalars = {**numbers, **precision, "identity": self.identity}
            ckpt.save_checkpoint(self.path, self.task, self.optimizer, scalars)

    def _diverged(self, what: str) -> OnlygoodError:
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        kept = f"{self.path} keeps step {self.saved_step}" if self.saved_step else "no checkpoint was due yet"
        fp32 = ", or precision fp32" if self.precision == "bf16" else ""
        advice = f"Try lr {self.config.lr / 3:.2g} in another folder, a longer warm-up{fp32}"
        return OnlygoodError(f"{what} (learning rate {lr:.2g}); {kept}. {advice}")

    def _choose_precision(self) -> Choice:
        """As configured, or as the processor is; where processes disagree, all take fp32."""
        if self.config.precision != "auto":
            return Choice(self.config.precision, "as configured")
        choice = choose(self.task, self.feed, self.config.seed)
        refused = self.processes.any(choice.precision == "fp32")
        if refused and choice.precision == "bf16":
            return Choice("fp32", "since another process cannot take bf16")
        return choice


def create_optimizer(task: Task, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that ``config`` names, over what the task trains."""
    groups = task.param_groups()
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, config.lr, weight_decay=config.weight_decay)
    momentum, nesterov = config.momentum, config.momentum > 0
    return torch.optim.SGD(groups, config.lr, momentum, weight_decay=config.weight_decay, nesterov=nesterov)


def _identity(task: Task, store: Store, ids: NDArray[np.int64], config: TrainConfig) -> dict[str, Any]:
    """What a resumed run must have in common with the one that it continues."""
    return {
        "train": config.identity(),
        "task": type(task).__name__,
        "task config": task.config.model_dump(mode="json"),
        "encoder": task.encoder.name,
        "images": store.fingerprint,
        "order of images": _digest("".join(store.hashes[i] for i in ids).encode()),
        **{name: _digest(getattr(task, name).cpu().numpy().tobytes()) for name in task.given},
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
