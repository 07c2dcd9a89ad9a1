"""bf16 or fp32: decided by what the processor is, so that the same command gives the same numbers.

bf16 is 4 to 6 times faster on CPUs with AMX and on GPUs, and slower than fp32 on CPUs that emulate it. A
race of both would tell that as well, and something else whenever the machine is busy.
"""

import copy
import functools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, NamedTuple

import torch

from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.training.feed import Feed

Precision = Literal["fp32", "bf16"]
CPU_FEATURES = ("amx_bf16", "avx512_bf16")  # instructions that multiply bf16; PyTorch's kernels use them
_TRIALS = 2  # steps


class Choice(NamedTuple):
    """A precision, and why it was taken, in words that follow a comma."""

    precision: Precision
    reason: str


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """The context in which a forward pass runs in ``precision``; parameters and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def choose(task: Task, feed: Feed, seed: int) -> Choice:
    """bf16 where the processor multiplies it in hardware and the task's gradients are sound in it."""
    unit = bf16_unit(feed.device)
    if not unit:
        return Choice("fp32", "since the processor has no bf16 instructions")
    if not sound_in_bf16(task, feed, seed):
        return Choice("fp32", "since this task's gradients are not sound in bf16 here")
    return Choice("bf16", f"since the processor has {unit}")


def bf16_unit(device: torch.device) -> str:
    """What of this processor multiplies bf16, such as ``amx_bf16``; empty if nothing does."""
    if device.type == "cuda":
        return "bf16 cores" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if device.type == "cpu":
        found = _cpu_features()
        return next((name for name in CPU_FEATURES if found.get(name)), "")
    return ""


def _cpu_features() -> Mapping[str, Any]:
    """What torch knows of this processor; before 2.11 it tells by single, undocumented functions."""
    if hasattr(torch.cpu, "get_capabilities"):
        found: Mapping[str, Any] = torch.cpu.get_capabilities()
        return found
    asked = {"amx_bf16": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
    return {name: getattr(torch.cpu, function, bool)() for name, function in asked.items()}


def sound_in_bf16(task: Task, feed: Feed, seed: int) -> bool:
    """Whether steps of ``task`` on the first batch of ``feed`` give finite gradients in bf16.

    PyTorch's bf16 kernels for CPUs leave weights' gradients unset (torch 2.15) where a 3×3 convolution of
    stride 2 sees a map of one pixel, as with tiny patches: NaN, sooner or later. Memory that nobody has
    written reads as NaN here, so that it does not take luck to see it. The steps run on a copy: weights,
    queues and statistics of ``task`` are untouched.
    """
    positions = feed.positions(0)
    images, ids = feed.images(positions), torch.from_numpy(positions).to(feed.device)
    trial, rng = copy.deepcopy(task), torch.Generator(feed.device).manual_seed(seed)
    with torch.no_grad():
        width = trial.eval().embed(images[:2]).shape[1]
    draw = functools.partial(torch.randn, len(feed), width, generator=rng, device=feed.device)
    trial.train().start_epoch(0, draw)
    try:
        with _unwritten_memory_is_nan():
            return all(_finite_step(trial, images, ids, rng) for _ in range(_TRIALS))
    except RuntimeError:  # an operation without a bf16 kernel on this device
        return False


def _finite_step(trial: Task, images: torch.Tensor, ids: torch.Tensor, rng: torch.Generator) -> bool:
    with autocast(images.device, "bf16"):
        output = trial(images, ids, rng)
    trial.zero_grad(set_to_none=True)
    output.loss.backward()
    gradients = [p.grad for p in trial.parameters() if p.grad is not None]
    return all(bool(gradient.isfinite().all()) for gradient in gradients)


@contextmanager
def _unwritten_memory_is_nan() -> Iterator[None]:
    """PyTorch fills new tensors so in its deterministic mode, whose warnings are not of interest here."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
