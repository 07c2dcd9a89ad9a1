"""How many threads this process may use, and how much memory."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus(membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may use: the smaller of its affinity and its cgroup's quota, rounded up.

    Args:
        membership: the file that names this process's control group (cgroup v2).
        root: where the control groups are mounted.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (math.ceil(quota / period) for quota, period in _limits("cpu.max", membership, root))
    return max(1, min([affinity, *quotas]))


def available_memory(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that this process may use: the machine's memory or its cgroup's limit; None if neither is known.

    Args:
        membership: as of `available_cpus`.
        root: as of `available_cpus`.
    """
    limits = [limit for (limit,) in _limits("memory.max", membership, root)]
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _limits(name: str, membership: Path, root: Path) -> Iterator[list[int]]:
    """What a file of the process's control group and of each group above it says, where one sets a limit."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    for folder in [root / group, *(root / group).parents]:
        if not folder.is_relative_to(root):
            return
        try:
            words = (folder / name).read_text().split()
        except OSError:
            continue
        if words and all(word.isdigit() for word in words):  # else "max"
            yield [int(word) for word in words]
