"""Whole training steps in images a second: reading, views, network, loss, gradient, optimiser.

    python -m benchmarks.pretrain.steps DATA [--bf16]           a folder of images, CIFAR-10's for example
    python -m benchmarks.pretrain.steps --rendered [--bf16]     images made from the seed
    python -m benchmarks.pretrain.steps --table

Needs the packages torch, torchvision and lightly beside onlygood, in an environment of its own:

    uv venv BV && uv pip install --python BV/bin/python torch torchvision kornia lightly -e '.[train]'
    BV/bin/python -m benchmarks.pretrain.steps DATA

onlygood trains with its real ``train()``, timed by its own log; rivals are loops over a DataLoader in the
styles of lightly and of solo-learn, with 0 and 2 workers (`steps_rivals.py` says what they do). All have the
same encoder, batch, strength of views, optimiser and precision. Each contender is a process of its own; they
take turns, and wait while it is not theirs. "onlygood / this" is the ratio of rates, round by round. CPU time
counts the workers, too.

Decoded images lie in onlygood's cache and in the rivals' memory. With --files, rivals open the files each
time, as their usual data sets do. Start-up is left out of all rates.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness

TASKS = ("simclr", "byol", "rotation")
NAMES = {"onlygood": "onlygood", "lightly": "lightly", "solo": "in the style of solo-learn"}


def main() -> None:
    options = _arguments()
    if options.table:
        print(table(harness.read_results("steps")))
        return
    import peers  # noqa: PLC0415

    data = options.data.resolve().name if options.data else "rendered"
    files = "_files" if options.files else ""
    name = options.name or f"{data}_{options.side}_threads{options.threads}_{peers.machine()}{files}"
    file = harness.result_file("steps", name)
    if not file.is_file():
        harness.write_result(file, measure(options, file.stem))
    print(f"{file.stem}: {file.relative_to(harness.HERE)}")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("data", type=Path, nargs="?", help="folder of images")
    parser.add_argument("--rendered", action="store_true", help="images made from the seed instead")
    parser.add_argument("--images", type=int, default=4096, help="at most so many of them")
    parser.add_argument("--files", action="store_true", help="rivals open the files each time")
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--batch", type=int, default=96, help="images a step")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--encoders", nargs="+", default=["small", "resnet18-32"])
    parser.add_argument("--bf16", action="store_true", help="measure all in bf16 as well")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of the rivals' DataLoaders")
    parser.add_argument("--threads", type=int, default=harness.provenance()["cpus"], help="of each contender")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each, each round, or two steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", help="of the result; by default made from data and machine")
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    if not options.table and bool(options.data) == options.rendered:
        parser.error("give DATA or --rendered (or --table)")
    if options.files and not options.data:
        parser.error("--files needs DATA")
    return options


def measure(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Every task, encoder and precision, with all contenders taking turns."""
    import peers  # noqa: PLC0415

    origin, versions = harness.provenance(), peers.versions()
    rivals = [rival for rival in ("lightly", "solo") if rival == "solo" or versions["lightly"]]
    contenders = [("onlygood", 0), *((rival, workers) for rival in rivals for workers in options.workers)]
    rows = []
    for encoder in options.encoders:
        for task in options.tasks:
            for precision in ("fp32", "bf16") if options.bf16 else ("fp32",):
                setting = {"task": task, "encoder": encoder, "precision": precision}
                rounds = take_turns(options, name, contenders, setting)
                rows.append(setting | {"rounds": rounds})
                print(f"{task}, {encoder}, {precision}: done", file=sys.stderr)
    return {
        "name": name,
        "command": harness.typed_command(*[options.data] * bool(options.data)),
        "environment": origin,
        "versions": versions,
        "accelerator": peers.accelerator(),
        "seed": options.seed,
        "side": options.side,
        "batch": options.batch,
        "threads": options.threads,
        "skipped": {} if versions["lightly"] else {"lightly": "lightly is not installed"},
        "rows": rows,
    }


def take_turns(
    options: argparse.Namespace, name: str, contenders: list[tuple[str, int]], setting: dict[str, str]
) -> dict[str, list[dict[str, float]]]:
    """Each round begins with another contender."""
    folder = harness.RUNS / "steps" / name
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("files", "images", "side", "batch", "threads", "seconds", "seed")
    shared: dict[str, Any] = {key: getattr(options, key) for key in keys} | setting
    shared["cache"] = str(harness.RUNS / "steps" / "cache")
    shared["data"] = str(options.data.resolve()) if options.data else None
    processes: dict[str, Contender] = {}
    try:
        for contender, workers in contenders:  # one after the other: they look at the clock already
            key = contender if contender == "onlygood" else f"{contender}-{workers}"
            settings = shared | {"contender": contender, "workers": workers}
            processes[key] = Contender(settings, folder / f"{key}.err")
        rounds: dict[str, list[dict[str, float]]] = {key: [] for key in processes}
        for turn in range(options.rounds):
            order = list(processes)[turn % len(processes) :] + list(processes)[: turn % len(processes)]
            for key in order:
                rounds[key].append(processes[key].round())
    finally:
        for process in processes.values():
            process.close()
    return rounds


class Contender:
    """A process that measures when it is told to."""

    def __init__(self, settings: dict[str, Any], errors: Path) -> None:
        self.errors = errors
        command = [sys.executable, "-m", "benchmarks.pretrain.steps_worker", json.dumps(settings)]
        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        self._answer()  # "ready"

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            tail = self.errors.read_text(errors="replace").strip().splitlines()[-8:]
            sys.exit(f"{self.errors.stem} ended with {self.process.wait()}:\n" + "\n".join(tail))
        return line

    def round(self) -> dict[str, float]:
        """Images a second, steps and the last loss of one round."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: dict[str, float] = json.loads(self._answer())
        return {key: round(value, 4) for key, value in found.items()}

    def close(self) -> None:
        """No more rounds."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# --- tables


def table(results: list[dict[str, Any]]) -> str:
    """Medians over the rounds."""
    header = ["training step", "images/s", "least", "most", "onlygood / this", "CPU ms an image"]
    parts = []
    for result in results:
        origin = result["environment"]
        known = [f"{package} {number}" for package, number in result["versions"].items() if number]
        where = f"{result['accelerator']}, {origin['cpu']}" if result["accelerator"] else origin["cpu"]
        title = (
            f"{result['name']}: commit {origin['commit']}; {where}, {origin['cpus']} CPUs, "
            f"{result['threads']} threads; {result['side']} px, batch {result['batch']}; {', '.join(known)}"
        )
        rows = [line for row in result["rows"] for line in _lines(row)]
        skipped = "".join(f"\n\n{NAMES[key]}: {why}" for key, why in result["skipped"].items())
        parts.append(f"{title}\n\n{harness.markdown(header, rows)}{skipped}")
    return "\n\n".join(parts) or "no finished runs"


def _lines(row: dict[str, Any]) -> list[list[str]]:
    setting = f"{row['task']}, {row['encoder']}, {row['precision']}"
    rates = {key: [one["images_per_second"] for one in rounds] for key, rounds in row["rounds"].items()}
    lines = []
    for key, values in rates.items():
        kind, _, workers = key.partition("-")
        title = f"{NAMES[kind]}, {workers} workers" if workers else NAMES[kind]
        ratio = statistics.median(a / b for a, b in zip(rates["onlygood"], values, strict=True))
        cpu = statistics.median(one["cpu_seconds_per_1000"] for one in row["rounds"][key])
        cells = [f"{number:.0f}" for number in (statistics.median(values), min(values), max(values))]
        lines.append([f"{setting}: {title}", *cells, f"{ratio:.2f}", f"{cpu:.2f}"])
    return lines


if __name__ == "__main__":
    main()
