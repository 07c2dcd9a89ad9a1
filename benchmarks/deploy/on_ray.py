"""`score --engine ray` beside one process and a script on Ray, and after `kill -9`.

    python -m benchmarks.deploy.on_ray MODEL IMAGES speed --number 4000 --rounds 3
    python -m benchmarks.deploy.on_ray MODEL IMAGES kills --number 4000 --rounds 5
    python -m benchmarks.deploy.on_ray MODEL IMAGES speed --number 100000 --rounds 1 --store
    python -m benchmarks.deploy.on_ray --table

IMAGES is a folder; its images are taken again and again under new names, ``--number`` of them: in a folder,
or with ``--store`` in an S3 of this machine (`store.py`; needs moto). ``speed`` takes turns: each way scores
one and then all of them, so that the difference is what images cost, and the former what it takes to begin.
``kills`` kills the driver at random moments and lets it go on. Each writes
``results/on_ray/<part>_<model>[_store].json``.

Memory is flat where the most that a part held in the last third of a run is what it held in the second.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.deploy.store import BUCKET, MANY, ONE, Store, pictures, served
from benchmarks.deploy.watched import Watched, alive, descendants, name_of
from benchmarks.harness import (
    markdown,
    onlygood,
    provenance,
    read_results,
    result_file,
    typed_command,
    write_result,
)

WORKERS = "2"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - not 15, with which workers on a shared machine only wait
WAYS = ("local", "ray", "script")


@dataclass(frozen=True)
class Task:
    """What is measured, with a folder for what is written."""

    model: Path
    number: int
    many: str  # a folder or a URL
    one: str
    work: Path
    store: Store | None

    def command(self, way: str, images: str, out: Path) -> list[str]:
        """How the images are scored."""
        if way == "script":
            return [sys.executable, "-m", "benchmarks.deploy.ray_peer", str(self.model), images, str(out)]
        engine = ("--engine", "ray") if way == "ray" else ()
        return onlygood("score", str(self.model), images, "-o", str(out), "-q", "-j", WORKERS, *engine)


@contextmanager
def placed(model: Path, images: Path, number: int, *, store: bool) -> Iterator[Task]:
    """The images under many names, in a folder or a store, until the block ends."""
    parent = None if store else images.resolve().parent  # of hard links
    work = Path(tempfile.mkdtemp(prefix="on-ray-", dir=parent))
    try:
        if store:
            with served(images, number) as server:
                os.environ.update(server.environment)
                yield Task(model, number, f"s3://{BUCKET}/{MANY}", f"s3://{BUCKET}/{ONE}", work, server)
        else:
            many, one = (linked(images, count, work / name) for count, name in ((number, MANY), (1, ONE)))
            yield Task(model, number, str(many), str(one), work, None)
    finally:
        shutil.rmtree(work)


def linked(images: Path, number: int, folder: Path) -> Path:
    """A folder with ``number`` names of the images."""
    found = pictures(images)
    folder.mkdir()
    for index in range(number):
        path = found[index % len(found)]
        os.link(path, folder / f"{index:07}{path.suffix}")
    return folder


def timed(words: list[str], tries: int = 4) -> tuple[float, Watched]:
    """Seconds on the clock, and what was seen; again where it fails, as Ray's start does on busy machines."""
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watched = Watched(child.pid)
    _, said = child.communicate()
    seconds = time.perf_counter() - start
    watched.end()
    if child.returncode == 0 or (child.returncode == 2 and not said):  # 2: some images are unusable frames
        return seconds, watched
    if tries > 1:
        print(f"{words[2]} ended with {child.returncode}, and is tried again: {said.decode()[-300:]}")
        return timed(words, tries - 1)
    sys.exit(f"{words} ended with {child.returncode}: {said.decode()[-2000:]}")


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Rows of a file, or of a folder as Ray Data writes it."""
    files = [out] if out.is_file() else sorted(out.iterdir())
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def speed(task: Task, rounds: int) -> dict[str, Any]:
    names = ("seconds", "begin", "per_second", "cpu_ms", "own_cpu_ms", "store_cpu_ms")
    seen: dict[str, dict[str, list[float]]] = {way: {name: [] for name in names} for way in WAYS}
    memory: dict[str, list[float]] = {}
    most: dict[str, dict[str, list[float]]] = {}
    scores: dict[str, dict[str, Any]] = {}
    for turn in range(rounds):
        for way in WAYS[turn % len(WAYS) :] + WAYS[: turn % len(WAYS)]:
            out = task.work / f"{way}-{turn}.jsonl"
            begin, small = timed(task.command(way, task.one, task.work / f"{way}-{turn}-one.jsonl"))
            before = task.store.cpu_seconds if task.store else 0.0
            whole, large = timed(task.command(way, task.many, out))
            served_cpu = task.store.cpu_seconds - before if task.store else 0.0
            cpu = large.cpu_seconds - small.cpu_seconds
            own = large.own_cpu_seconds - small.own_cpu_seconds
            rest = task.number - 1
            values = (
                whole,
                begin,
                rest / (whole - begin),
                *(1000 * spent / rest for spent in (cpu, own, served_cpu)),
            )
            for name, value in zip(names, values, strict=True):
                seen[way][name].append(round(value, 2))
            memory[way] = [round(statistics.median(part)) for part in thirds(large.together_mb)]
            most[way] = {
                part: [max(third) for third in thirds(held)]
                for part, held in large.memory_mb.items()
                if any(held)
            }
            rows = rows_of(out)
            scores[way] = {row["path"].rpartition("/")[2]: row["score"] for row in rows}
            if len(rows) != task.number or len(scores[way]) != task.number:
                sys.exit(f"{way}: {len(rows)} rows of {task.number} images")
            print(
                f"{way}: {whole:.1f} s, of which {begin:.1f} s to begin; {values[3]:.1f} ms of CPU",
                flush=True,
            )
    farthest = max(
        abs(scores["script"][name] - score) for name, score in scores["local"].items() if score is not None
    )
    return {
        "part": "speed",
        "ways": seen,
        "memory_mb": memory,
        "most_mb": most,
        "same_scores": scores["ray"] == scores["local"],
        "farthest_of_script": farthest,
    }


def thirds(samples: list[float]) -> list[list[float]]:
    third = max(1, len(samples) // 3)
    return [samples[:third], samples[third : 2 * third] or samples, samples[2 * third :] or samples]


class Lines:
    """How many lines a file has that grows; what was counted is not read again."""

    def __init__(self, path: Path) -> None:
        self._path, self._count, self._at = path, 0, 0

    def count(self) -> int:
        """As of now; 0 where there is no file."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                while piece := file.read(1 << 20):
                    self._count += piece.count(b"\n")
                    self._at += len(piece)
        return self._count


def kills(task: Task, rounds: int) -> dict[str, Any]:
    out, here = task.work / "rows.jsonl", task.work / "here.jsonl"
    timed(task.command("local", task.many, here))
    words = [*task.command("ray", task.many, out), "--resume"]
    rng, lines, kept, trees = random.Random(0), Lines(out), [0], list[int]()
    for index in range(rounds):
        wanted = rng.randrange(kept[-1], (index + 1) * task.number // (rounds + 1))  # rows, and then some
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while lines.count() <= wanted:
            if child.poll() is not None:
                said = child.communicate()[1].decode()
                if "Ray did not start" not in said:
                    sys.exit(f"it ended by itself, with {child.returncode}: {said}")
                child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(0.02)
        time.sleep(rng.random() / 10)
        trees += descendants(child.pid)[1:]
        child.send_signal(signal.SIGKILL)
        child.wait()
        kept.append(lines.count())
        print(f"killed at {kept[-1]} rows", flush=True)
    _, last = timed(words)
    since = time.monotonic()
    while (left := alive(trees)) and time.monotonic() - since < 300:
        time.sleep(0.1)

    def known(path: Path) -> dict[str, Any]:
        return {row["path"]: row | {"ms": None} for row in rows_of(path)}

    found, expected = known(out), known(here)
    count = len(rows_of(out))
    return {
        "part": "kills",
        "killed_at_rows": kept[1:],
        "processes_left_behind": [name_of(pid) for pid in left],
        "rows": count,
        "lost": len(expected.keys() - found.keys()),
        "twice": count - len(found),
        "same_rows_in_order": [*found.items()] == [*expected.items()],
        "most_mb_of_the_last": {part: max(held) for part, held in last.memory_mb.items()},
    }


def tables() -> str:
    rates, memories = [], []
    for result in read_results("on_ray"):
        if result.get("part") != "speed":
            continue
        where = f"{result['images']} {result['model']}{' in S3' if result.get('store') else ''}"
        for way, seen in result["ways"].items():
            base = result["ways"]["local"]["per_second"]
            ratios = [rate / local for rate, local in zip(seen["per_second"], base, strict=True)]
            several = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
            numbers = [
                statistics.median(seen.get(name, [0.0])) for name in ("cpu_ms", "store_cpu_ms", "begin")
            ]
            rates.append(
                [
                    f"{where}: {way}",
                    f"{statistics.median(seen['per_second']):.0f}",
                    f"{statistics.median(ratios):.2f}{several}",
                    *(f"{number:.1f}" for number in numbers),
                    ", ".join(f"{value:.0f}" for value in result["memory_mb"][way]),
                ]
            )
            memories += [
                [f"{where}: {way}, {part}", *(f"{value:.0f}" for value in held), f"{held[2] / held[1]:.2f}"]
                for part, held in result.get("most_mb", {}).get(way, {}).items()
            ]
    head = ["way", "images/s", "of local", "CPU ms an image", "of the store", "s to begin", "MB, by thirds"]
    most = ["most MB held", "first third", "second", "last", "last of second"]
    return f"{markdown(head, rates)}\n\n{markdown(most, memories)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("part", choices=("speed", "kills"), nargs="?")
    parser.add_argument("--number", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", action="store_true", help="read the images from an S3 of this machine")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print(tables())
        return
    if given.part is None:
        parser.error("MODEL, IMAGES and a part, or --table")
    about = {"model": given.model.stem, "images": given.number, "store": given.store, "workers": int(WORKERS)}
    about |= {"command": typed_command(given.model, given.images)} | provenance()
    with placed(given.model.resolve(), given.images, given.number, store=given.store) as task:
        result = (speed if given.part == "speed" else kills)(task, given.rounds)
    name = f"{given.part}_{given.model.stem}{'_store' if given.store else ''}"
    write_result(result_file("on_ray", name), result | about)


if __name__ == "__main__":
    main()
