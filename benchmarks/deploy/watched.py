"""Processes looked at while they run: what they hold, what they took, and what they leave behind."""

import os
import threading
from contextlib import suppress
from pathlib import Path

PARTS = ("driver", "workers", "ray")  # the process itself; Ray's processes that run Python code; all others


class Watched:
    """What a process and all below it hold, and the CPU time that they took, looked at every second."""

    def __init__(self, pid: int) -> None:
        # MB a second, of each part; shared pages divided among those who share them.
        self.memory_mb: dict[str, list[float]] = {part: [] for part in PARTS}
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

    @property
    def together_mb(self) -> list[float]:
        """What all held, second by second."""
        return [sum(held) for held in zip(*self.memory_mb.values(), strict=True)]

    def _look(self) -> None:
        while True:
            held = dict.fromkeys(PARTS, 0)
            for process in descendants(self._pid):
                with suppress(OSError):
                    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
                    part = "driver" if process == self._pid else _part(process)
                    held[part] += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                    self._ticks[process] = ticks(process)
            for part, kilobytes in held.items():
                self.memory_mb[part].append(round(kilobytes / 1000, 1))
            if self._over.wait(1):
                return


def ticks(pid: int) -> int:
    """The CPU time of a process, in ticks of the clock."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


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


def alive(processes: list[int]) -> list[int]:
    """Those that have not ended."""

    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return [pid for pid in processes if lives(pid)]


def name_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:300]


def _part(pid: int) -> str:
    return "workers" if name_of(pid).startswith("ray::") else "ray"
