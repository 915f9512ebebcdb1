"""How many processor cores may be used."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def use_threads(threads: int | None = None) -> int:
    """Let torch compute with this many threads; None for what torch would take, at most the usable cores.

    Returns the number. To be called once, at the start of a command.
    """
    import torch

    number = threads or max(1, min(torch.get_num_threads(), usable_cores()))
    torch.set_num_threads(number)
    return number


def usable_cores(cgroup: Path = CGROUP) -> int:
    """The cores that this process may run on, and that its container pays for; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, cgroup_cores(cgroup) or allowed))


def cgroup_cores(cgroup: Path = CGROUP) -> int | None:
    """The container's share of processor time in cores, rounded up; None for no limit."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None
