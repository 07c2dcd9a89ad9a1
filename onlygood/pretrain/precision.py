"""bf16 or fp32: decided once, by timing real steps of the task on this machine.

bf16 with channels_last is 4 to 6 times faster on CPUs with AMX and on GPUs, and slower than fp32 on CPUs that
emulate it; neither the CPU's name nor its flags tell reliably, a second of training does.
"""

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import torch

from onlygood.pretrain.feed import Feed
from onlygood.pretrain.tasks.base import Task

Precision = Literal["fp32", "bf16"]
WORTH_IT = 1.5  # bf16 must be this many times faster
_BUDGET = 0.5  # seconds for each of the two


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """The context in which a forward pass runs in ``precision``; parameters and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def apply_layout(task: Task, precision: Precision) -> None:
    """bf16 kernels want the channels last in memory; fp32 weights stay as they are."""
    if precision == "bf16":
        task.to(memory_format=torch.channels_last)


def bf16_pays(task: Task, feed: Feed, seed: int) -> bool:
    """Whether a step of ``task`` on the first batch of ``feed`` is at least 1.5 times faster in bf16.

    The steps run on a copy: weights, queues and statistics of ``task`` are untouched.
    """
    device = feed.device
    positions = feed.positions(0)
    images, ids = feed.images(positions), torch.from_numpy(positions).to(device)
    trial = copy.deepcopy(task).eval()
    rng = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        width = trial.embed(images[:2]).shape[1]
    trial.train().start_epoch(0, lambda: torch.randn(len(feed), width, generator=rng, device=device))

    def step(precision: Precision) -> None:
        with autocast(device, precision):
            output = trial(images, ids, rng)
        output.loss.backward()
        trial.zero_grad(set_to_none=True)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    plain = fastest(lambda: step("fp32"))
    apply_layout(trial, "bf16")
    try:
        fast = fastest(lambda: step("bf16"))
    except RuntimeError:  # an operation without a bf16 kernel on this device
        return False
    return plain >= WORTH_IT * fast


def fastest(
    step: Callable[[], None], budget: float = _BUDGET, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of the fastest of the steps that ``budget`` seconds hold: the least disturbed one."""
    begin = clock()
    best = float("inf")
    now = begin
    while now - begin < budget:
        before = now
        step()
        now = clock()
        best = min(best, now - before)
    return best
