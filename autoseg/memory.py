"""How much memory there is, and how much was used; containers' limits count."""

from __future__ import annotations

import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes(cgroup: Path = CGROUP) -> int:
    """What this process can still take: the machine's available memory, or what its container has left."""
    import psutil

    available = int(psutil.virtual_memory().available)
    left = cgroup_memory_left(cgroup)
    return available if left is None else min(available, left)


def cgroup_memory_left(cgroup: Path = CGROUP) -> int | None:
    """The container's limit less its usage, where file cache that can be dropped is no usage; None for no limit."""
    names = ("memory.max", "memory.current", "inactive_file")
    if not (cgroup / "memory.max").exists():
        cgroup = cgroup / "memory"
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    try:
        limit, usage = (int((cgroup / name).read_text()) for name in names[:2])
        droppable = _statistic(cgroup / "memory.stat", names[2])
    except (OSError, ValueError):
        return None
    return max(0, limit - usage + droppable)


def _statistic(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def peak_memory_bytes() -> int:
    """The most memory that this process has held resident so far."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
