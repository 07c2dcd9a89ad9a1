"""Two processes of `accelerate launch` on CPUs beside one: the same losses, and how many images a second?

    python -m benchmarks.pretrain.processes        # ten minutes on two cores; results/processes/<task>.json
    python -m benchmarks.pretrain.processes --table

`onlygood pretrain` as a user types it, in fp32, on images made from the seed: by one process with one thread,
by one with two, and by two with one each, in turns. Losses are those of each step. The rate is that of the
log, after the first ten steps; beginning is left out.

Sums in another order round differently, by some 1e-7 of a value in fp32, and from there each training goes
its own way. How fast, tells one process whose learning rate is larger by 1e-7 of itself (``nudged``).
"""

import argparse
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness

TASKS = ("rotation", "simclr", "moco", "deepcluster-v2")
WAYS = {"one": 1, "threads": 2, "processes": 1}  # threads of each process
LR = 0.05
IGNORED = 10  # steps, of rates
ALIKE = 1e-4  # relative; until the first step that differs by more


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(tables(harness.read_results("processes")))
        return
    home = harness.RUNS / "processes"
    shutil.rmtree(home, ignore_errors=True)
    draw(home / "images", options)
    for task in options.tasks:
        about = harness.provenance()
        result = measure(task, home, options)
        settings = {name: getattr(options, name) for name in ("images", "side", "batch", "steps")}
        result |= settings | {"task": task, "command": harness.typed_command()} | about
        harness.write_result(harness.result_file("processes", task), result)
        print(f"{task}: done", file=sys.stderr, flush=True)
    print(tables(harness.read_results("processes")))


def draw(folder: Path, options: argparse.Namespace) -> None:
    """Images made from the seed."""
    from PIL import Image  # noqa: PLC0415 - not for tables

    from benchmarks.pretrain.peers import rendered  # noqa: PLC0415

    folder.mkdir(parents=True)
    for index, pixels in enumerate(rendered(options.images, options.side, 0)):
        Image.fromarray(pixels).save(folder / f"{index:04}.png")


def measure(task: str, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Losses of each way, and rates of each round."""
    losses: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    same = True
    for turn in range(options.rounds):
        names = list(WAYS)[turn % len(WAYS) :] + list(WAYS)[: turn % len(WAYS)]
        for way in names:
            seen, rate = train(task, way, home / f"{task}-{way}-{turn}", options)
            rates[way].append(round(rate, 1))
            same = same and losses.setdefault(way, seen) == seen
    losses["nudged"], _ = train(task, "nudged", home / f"{task}-nudged", options)
    return {
        "losses": losses,
        "same_in_all_rounds": same,
        "images_per_second": rates,
        "differences": {way: difference(losses["one"], losses[way]) for way in losses if way != "one"},
    }


def train(task: str, way: str, folder: Path, options: argparse.Namespace) -> tuple[list[float], float]:
    """The loss of each step, and images a second."""
    folder.mkdir()
    settings = {
        "training.steps": options.steps,
        "training.batch_size": options.batch,
        "training.precision": "fp32",
        "training.threads": WAYS.get(way, 1),
        "training.lr": LR * (1 + 1e-7) if way == "nudged" else LR,
        "training.log_every": 1,
        "input.side": options.side,
    }
    words = ["pretrain", task, "../images", "-o", "encoder.safetensors", "-q"]
    words += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = harness.onlygood(*words)
    if way == "processes":
        accelerate = Path(sys.executable).with_name("accelerate")
        command = [
            *(str(accelerate), "launch", "--num_processes", "2", "--multi_gpu", "--main_process_port", "0"),
            *command[1:],
        ]
    harness.run_measured(command, folder, "run", threads=WAYS.get(way, 1))
    rows = harness.read_rows(folder / "encoder.work" / "log.csv")
    first, last = rows[IGNORED - 1], rows[-1]
    count = (int(float(last["step"])) - int(float(first["step"]))) * options.batch
    rate = count / (float(last["seconds"]) - float(first["seconds"]))
    return [float(row["loss"]) for row in rows], rate


def difference(one: list[float], other: list[float]) -> dict[str, Any]:
    """How far the losses are apart, relative to those of one process."""
    apart = [abs(a - b) / abs(a) for a, b in zip(one, other, strict=True)]
    return {
        "of_first": apart[0],
        "largest_of_ten": max(apart[:10]),
        "largest": max(apart),
        "steps_alike": next((step for step, value in enumerate(apart) if value > ALIKE), len(apart)),
    }


def tables(results: list[dict[str, Any]]) -> str:
    curves, rates = [], []
    for result in results:
        for way, apart in result["differences"].items():
            numbers = [f"{apart[name]:.0e}" for name in ("of_first", "largest_of_ten", "largest")]
            curves.append(
                [f"{result['task']}: {way}", *numbers, f"{apart['steps_alike']} of {result['steps']}"]
            )
        seen = result["images_per_second"]
        row = [result["task"], *(f"{statistics.median(seen[way]):.0f}" for way in WAYS)]
        for base in ("one", "threads"):
            ratios = [a / b for a, b in zip(seen["processes"], seen[base], strict=True)]
            row.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        rates.append(row)
    head = ["images/s", "one thread", "two threads", "two processes", "of one thread", "of two threads"]
    apart_head = ["losses apart from one thread's", "first step", "ten steps", "all", f"alike to {ALIKE:.0e}"]
    return f"{harness.markdown(apart_head, curves)}\n\n{harness.markdown(head, rates)}"


if __name__ == "__main__":
    main()
