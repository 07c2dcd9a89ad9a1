"""bf16 or fp32: decided once, by timing real steps of the task on this machine.

bf16 is 4 to 6 times faster on CPUs with AMX and on GPUs, and slower than fp32 on CPUs that emulate it.
Neither the CPU's name nor its flags tell reliably; a second of training does.
"""

import copy
import functools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import torch

from onlygood.pretrain.feed import Feed
from onlygood.pretrain.tasks.base import Task

Precision = Literal["fp32", "bf16"]
WORTH_IT = 1.3  # bf16 must be this many times faster
_BUDGET = 1.0  # seconds for both together


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """The context in which a forward pass runs in ``precision``; parameters and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def bf16_pays(task: Task, feed: Feed, seed: int) -> bool:
    """Whether a step of ``task`` on the first batch of ``feed`` is sound in bf16, and 1.3 times faster.

    PyTorch's bf16 kernels for CPUs leave weights' gradients unset (torch 2.15) where a 3×3 convolution of
    stride 2 sees a map of one pixel, as with tiny patches: NaN, sooner or later. The steps run on a copy:
    weights, queues and statistics of ``task`` are untouched.
    """
    positions = feed.positions(0)
    images, ids = feed.images(positions), torch.from_numpy(positions).to(feed.device)
    trials: dict[Precision, Task] = {"fp32": copy.deepcopy(task), "bf16": copy.deepcopy(task)}
    rng = torch.Generator(feed.device).manual_seed(seed)
    for trial in trials.values():
        with torch.no_grad():
            width = trial.eval().embed(images[:2]).shape[1]
        draw = functools.partial(torch.randn, len(feed), width, generator=rng, device=feed.device)
        trial.train().start_epoch(0, draw)

    sound = {"fp32": True, "bf16": True}

    def step(precision: Precision) -> None:
        with autocast(feed.device, precision):
            output = trials[precision](images, ids, rng)
        output.loss.backward()
        gradients = [p.grad for p in trials[precision].parameters() if p.grad is not None]
        sound[precision] &= all(bool(gradient.isfinite().all()) for gradient in gradients)
        trials[precision].zero_grad(set_to_none=True)
        if feed.device.type != "cpu":
            torch.accelerator.synchronize(feed.device)

    try:
        plain, fast = race(lambda: step("fp32"), lambda: step("bf16"))
    except RuntimeError:  # an operation without a bf16 kernel on this device
        return False
    return sound["bf16"] and plain >= WORTH_IT * fast


def race(
    one: Callable[[], None],
    other: Callable[[], None],
    budget: float = _BUDGET,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Seconds of the fastest step of each, taking turns until ``budget`` seconds are over.

    They take turns so that whatever else the machine does slows both, and the fastest is the least disturbed.
    """
    begin = now = clock()
    best = [float("inf"), float("inf")]
    while now - begin < budget:
        for runner, step in enumerate((one, other)):
            before = now
            step()
            now = clock()
            best[runner] = min(best[runner], now - before)
    return best[0], best[1]
