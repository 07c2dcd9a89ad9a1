"""What a training image costs, task by task, in times of rotation: whole steps on one CPU thread, in turns.

    python -m benchmarks.pretrain.costs            # about three minutes; writes results/costs/<side>px.json
    python -m benchmarks.pretrain.costs --table

Images are random: only the time is looked at.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks import harness
from benchmarks.pretrain.pretext import ENCODERS, OPTIONS
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import TASKS, Takes, create_task

IMAGES = 10_000  # that memories hold
NAMES = [name for name in TASKS if name != "frozen"]  # which trains nothing
STEPS = 2  # of each task in a round; the first round does not count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        for result in harness.read_results("costs"):
            print(table(result))
        return
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    trainings = {name: Training(name, options.side, options.batch_size) for name in NAMES}
    for number in range(options.rounds + 1):
        for name, training in trainings.items():
            started = time.process_time()
            for _ in range(STEPS):
                training.step()
            if number:
                seconds[name].append((time.process_time() - started) / STEPS / options.batch_size * 1000)
    result = {
        "side": options.side,
        "batch_size": options.batch_size,
        "precision": "bf16",
        "encoders": {name: training.task.encoder.name for name, training in trainings.items()},
        "cpu_seconds_per_1000_images": seconds,
        "command": harness.typed_command(),
        "torch": torch.__version__,
        **harness.provenance(),
    }
    harness.write_result(harness.result_file("costs", f"{options.side}px"), result)
    print(table(result))


class Training:
    """Steps of one task on random images."""

    def __init__(self, name: str, side: int, batch_size: int) -> None:
        entry, self.rng = TASKS[name], torch.Generator().manual_seed(0)
        size = (batch_size, 3, side, 2 * side if entry.takes.video else side)
        self.images = torch.randint(0, 256, size, dtype=torch.uint8, generator=self.rng)
        self.ids = torch.arange(batch_size)
        self.task: Task = create_task(
            name,
            create_encoder(ENCODERS.get(name, "small")),
            OPTIONS.get(name, {}),
            images=IMAGES,
            seed=0,
            labelled=(self.images, self.ids % 10) if entry.takes is Takes.LABELS else None,
        )
        self.task.train().to(memory_format=torch.channels_last)
        trained = [p for p in self.task.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, 1e-4, 0.9)

    def step(self) -> None:
        """As the trainer's."""
        with torch.autocast("cpu", torch.bfloat16):
            loss: Tensor = self.task(self.images, self.ids, self.rng).loss
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.task.after_step(0.5)


def table(result: dict[str, Any]) -> str:
    """Cheapest first; the ratio is the median over rounds, each against rotation in the same round."""
    seconds = result["cpu_seconds_per_1000_images"]
    ratios = {
        name: statistics.median(a / b for a, b in zip(values, seconds["rotation"], strict=True))
        for name, values in seconds.items()
    }
    rows = [
        [
            name if (encoder := result["encoders"][name]) == "small" else f"{name} ({encoder})",
            f"{statistics.median(seconds[name]):.2f}",
            f"{ratio:.1f}",
        ]
        for name, ratio in sorted(ratios.items(), key=lambda pair: pair[1])
    ]
    header = ["task", f"CPU s per 1,000 images of {result['side']} px", "times rotation"]
    return harness.markdown(header, rows)


if __name__ == "__main__":
    main()
