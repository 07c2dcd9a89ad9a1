"""How many threads this process may use."""

import math
import os
from pathlib import Path


def available_cpus(membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may use: the smaller of its affinity and its cgroup's quota, rounded up.

    Args:
        membership: the file that names this process's control group (cgroup v2).
        root: where the control groups are mounted.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *_quotas(membership, root)]))


def _quotas(membership: Path, root: Path) -> list[int]:
    """CPUs allowed by the process's control group and by each group above it, where one sets a limit."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    quotas = []
    for folder in [root / group, *(root / group).parents]:
        if not folder.is_relative_to(root):
            break
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            quotas.append(math.ceil(int(quota) / int(period)))
    return quotas
