"""What all benchmarks share: measured subprocesses, where a result comes from, result files and tables.

Only the standard library is imported here: on Linux a child's peak memory begins with its parent's, so
whoever measures memory must stay small.
"""

import csv
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from onlygood import __version__

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
RUNS = HERE.parent / "runs"  # ignored by git


@dataclass(frozen=True)
class Usage:
    """What a finished subprocess took: seconds on the clock, seconds of CPU, peak memory in MB."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_mb: float

    def rounded(self) -> dict[str, float]:
        """As JSON values."""
        return {name: round(value, 3) for name, value in vars(self).items()}


def run_measured(
    command: Sequence[str],
    folder: Path,
    name: str,
    *,
    threads: int | None = 1,
    accept: Iterable[int] = (0,),
) -> Usage:
    """Run in ``folder`` with stdout and stderr to ``name.out`` and ``name.err`` there.

    ``threads`` bounds OpenMP; None leaves the defaults. Decoded images are kept in ``folder``, so that no run
    profits from another one's. Ends the benchmark where the exit code is not accepted.
    """
    environment = dict(os.environ, ONLYGOOD_CACHE=str(folder / "cache"))
    if threads is not None:
        environment |= {
            key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        start = perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, env=environment)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        wall = perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in accept:
        tail = (folder / f"{name}.err").read_text(errors="replace").strip().splitlines()[-8:]
        sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n" + "\n".join(tail))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6)


def onlygood(*arguments: str) -> list[str]:
    """The command line under this interpreter."""
    return [sys.executable, "-m", "onlygood", *arguments]


def provenance() -> dict[str, Any]:
    """Where the numbers come from; nothing in it names a folder of this machine."""
    return {
        "onlygood": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2),  # what else the machine was doing
    }


def typed_command(*paths: Path) -> str:
    """The command as it can be typed again; of paths outside the repository only the names."""
    script, *arguments = sys.argv
    shown = [_public(Path(part)) if Path(part) in paths else part for part in arguments]
    module = Path(script).resolve().relative_to(HERE.parent).with_suffix("")
    return " ".join(["python", "-m", ".".join(module.parts), *shown])


def _public(path: Path) -> str:
    whole, home = path.resolve(), HERE.parent
    return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else whole.name


def _commit() -> str:
    """The commit measured, with ``+changes`` where the package differed from it."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--", "../onlygood"],
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


# --- data


def unpacked(data: Path) -> Path:
    """The folder of the data, unpacked below ``runs/data`` if an archive was given."""
    if data.is_dir():
        return data.resolve()
    if not zipfile.is_zipfile(data):
        sys.exit(f"{data}: neither a folder nor a zip archive")
    home = RUNS / "data" / data.stem
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home.parent))
        with zipfile.ZipFile(data) as archive:
            archive.extractall(folder)
        try:
            folder.rename(home)
        except OSError:  # another process was faster
            shutil.rmtree(folder)
            if not home.is_dir():
                raise
    return home.resolve()


# --- results


def result_file(benchmark: str, name: str) -> Path:
    """One JSON file a finished run."""
    return RESULTS / benchmark / f"{name}.json"


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read_results(benchmark: str) -> list[dict[str, Any]]:
    """All results of a benchmark, in the order of their names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((RESULTS / benchmark).glob("*.json"))]


def read_rows(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header."""
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


# --- tables


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Sequence[float | None], digits: int = 3) -> str:
    """``mean ± sd`` over seeds (the sample's); of one value itself, of none a dash."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{statistics.fmean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.{digits}f}"
