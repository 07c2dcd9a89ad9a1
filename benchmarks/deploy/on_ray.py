"""`score --engine ray` beside one process and a script on Ray, and after `kill -9`.

    python -m benchmarks.deploy.on_ray MODEL IMAGES speed --number 4000 --rounds 3
    python -m benchmarks.deploy.on_ray MODEL IMAGES kills --number 4000 --rounds 5
    python -m benchmarks.deploy.on_ray --table

IMAGES is a folder; its images are taken again and again under new names, ``--number`` of them. ``speed``
takes turns: each way scores one and then all of them, so that the difference is what images cost, and the
former what it takes to begin. ``kills`` kills the driver at random moments and lets it go on. Each writes
``results/on_ray/<part>_<model>.json``.
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
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def many(images: Path, number: int, folder: Path) -> Path:
    """A folder with ``number`` names of the images."""
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".bmp"))
    folder.mkdir()
    for index in range(number):
        path = found[index % len(found)]
        os.link(path, folder / f"{index:07}{path.suffix}")
    return folder


def command(way: str, model: Path, folder: Path, out: Path) -> list[str]:
    if way == "script":
        return [sys.executable, "-m", "benchmarks.deploy.ray_peer", str(model), str(folder), str(out)]
    engine = ("--engine", "ray") if way == "ray" else ()
    return onlygood("score", str(model), str(folder), "-o", str(out), "-q", "-j", WORKERS, *engine)


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


class Watched:
    """What a process and all below it hold, and the CPU time that they took, looked at every second."""

    def __init__(self, pid: int) -> None:
        self.memory_mb: list[float] = []  # shared pages divided among those who share them
        self._pid, self._ticks, self._over = pid, dict[int, int](), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """Of all processes until each was last seen."""
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    @property
    def own_cpu_seconds(self) -> float:
        """Of the process alone: on Ray, the driver."""
        return self._ticks[self._pid] / os.sysconf("SC_CLK_TCK")

    def _look(self) -> None:
        while True:
            held = 0
            for process in descendants(self._pid):
                with suppress(OSError):
                    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
                    held += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                    self._ticks[process] = int(fields[11]) + int(fields[12])
            self.memory_mb.append(round(held / 1000, 1))
            if self._over.wait(1):
                return


def timed(words: list[str], tries: int = 4) -> tuple[float, Watched]:
    """Seconds on the clock, and what was seen; again where it fails, as Ray's start does on busy machines."""
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watched = Watched(child.pid)
    _, said = child.communicate()
    seconds = time.perf_counter() - start
    watched.end()
    if child.returncode and tries > 1:
        print(f"{words[2]} ended with {child.returncode}, and is tried again", flush=True)
        return timed(words, tries - 1)
    if child.returncode:
        sys.exit(f"{words} ended with {child.returncode}: {said.decode()[-2000:]}")
    return seconds, watched


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Rows of a file, or of a folder as Ray Data writes it."""
    files = [out] if out.is_file() else sorted(out.iterdir())
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def speed(model: Path, images: Path, number: int, rounds: int, work: Path) -> dict[str, Any]:
    folder, one = many(images, number, work / "many"), many(images, 1, work / "one")
    seen: dict[str, dict[str, list[float]]] = {
        way: {name: [] for name in ("seconds", "begin", "per_second", "cpu_ms", "own_cpu_ms")} for way in WAYS
    }
    memory: dict[str, list[float]] = {}
    scores: dict[str, dict[str, float]] = {}
    for turn in range(rounds):
        for way in WAYS[turn % len(WAYS) :] + WAYS[: turn % len(WAYS)]:
            out = work / f"{way}-{turn}.jsonl"
            begin, small = timed(command(way, model, one, work / f"{way}-{turn}-one.jsonl"))
            whole, large = timed(command(way, model, folder, out))
            cpu = large.cpu_seconds - small.cpu_seconds
            own = large.own_cpu_seconds - small.own_cpu_seconds
            rate = (number - 1) / (whole - begin)
            values = (whole, begin, rate, 1000 * cpu / (number - 1), 1000 * own / (number - 1))
            for name, value in zip(seen[way], values, strict=True):
                seen[way][name].append(round(value, 2))
            memory[way] = [round(statistics.median(part)) for part in thirds(large.memory_mb)]
            rows = rows_of(out)
            scores[way] = {Path(row["path"]).name: row["score"] for row in rows}
            if len(rows) != number or len(scores[way]) != number:
                sys.exit(f"{way}: {len(rows)} rows of {number} images")
            print(
                f"{way}: {whole:.1f} s, of which {begin:.1f} s to begin; {values[3]:.1f} ms of CPU",
                flush=True,
            )
    farthest = max(abs(scores["script"][name] - score) for name, score in scores["local"].items())
    return {
        "part": "speed",
        "images": number,
        "ways": seen,
        "memory_mb": memory,
        "same_scores": scores["ray"] == scores["local"],
        "farthest_of_script": farthest,
    }


def thirds(samples: list[float]) -> list[list[float]]:
    third = max(1, len(samples) // 3)
    return [samples[:third], samples[third : 2 * third] or samples, samples[2 * third :] or samples]


def kills(model: Path, images: Path, number: int, rounds: int, work: Path) -> dict[str, Any]:
    folder, out, here = many(images, number, work / "many"), work / "rows.jsonl", work / "here.jsonl"
    timed(command("local", model, folder, here))
    words = [*command("ray", model, folder, out), "--resume"]
    rng, kept, trees = random.Random(0), [0], list[int]()
    for index in range(rounds):
        wanted = rng.randrange(kept[-1], (index + 1) * number // (rounds + 1))  # rows, and then some
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not out.exists() or out.read_bytes().count(b"\n") <= wanted:
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
        kept.append(out.read_bytes().count(b"\n"))
        print(f"killed at {kept[-1]} rows", flush=True)
    timed(words)
    since = time.monotonic()
    while (left := alive(trees)) and time.monotonic() - since < 300:
        time.sleep(0.1)

    def known(path: Path) -> dict[str, Any]:
        return {row["path"]: row | {"ms": None} for row in rows_of(path)}

    found = rows_of(out)
    return {
        "part": "kills",
        "images": number,
        "killed_at_rows": kept[1:],
        "processes_left_behind": [name_of(pid) for pid in left],
        "rows": len(found),
        "lost": len(known(here).keys() - known(out).keys()),
        "twice": len(found) - len(known(out)),
        "same_rows_in_order": [row | {"ms": None} for row in found]
        == [row | {"ms": None} for row in rows_of(here)],
    }


def name_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:300]


def alive(processes: list[int]) -> list[int]:
    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return [pid for pid in processes if lives(pid)]


def table() -> str:
    rows = []
    for result in read_results("on_ray"):
        if result.get("part") != "speed":
            continue
        for way, seen in result["ways"].items():
            base = result["ways"]["local"]["per_second"]
            ratios = [rate / local for rate, local in zip(seen["per_second"], base, strict=True)]
            rows.append(
                [
                    f"{result['model']}: {way}",
                    f"{statistics.median(seen['per_second']):.0f}",
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                    f"{statistics.median(seen['cpu_ms']):.1f}",
                    f"{statistics.median(seen['begin']):.1f}",
                    ", ".join(f"{value:.0f}" for value in result["memory_mb"][way]),
                ]
            )
    return markdown(
        ["way", "images/s", "of local", "CPU ms an image", "s to begin", "MB, by thirds of the run"], rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("part", choices=("speed", "kills"), nargs="?")
    parser.add_argument("--number", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print(table())
        return
    if given.part is None:
        parser.error("MODEL, IMAGES and a part, or --table")
    work = Path(tempfile.mkdtemp(prefix="on-ray-", dir=given.images.resolve().parent))  # hard links
    try:
        measure = speed if given.part == "speed" else kills
        result = measure(given.model.resolve(), given.images, given.number, given.rounds, work)
    finally:
        shutil.rmtree(work)
    about = {"model": given.model.stem, "workers": int(WORKERS)}
    file = result_file("on_ray", f"{given.part}_{given.model.stem}")
    typed = {"command": typed_command(given.model, given.images)}
    write_result(file, about | result | typed | provenance())


if __name__ == "__main__":
    main()
