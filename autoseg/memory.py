"""How much memory there is, how much was used, and which errors mean that there was too little."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
STATUS = Path("/proc/self/status")
OUT_OF_MEMORY_PHRASES = (
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "std::bad_alloc",
    "bad allocation",
    "status_alloc_failed",
)
"""What torch's allocators, CUDA and its libraries (cuDNN, cuBLAS), and C++ of any library say."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too little: of Python and numpy, of the system, of a GPU, or of a library's own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in said for phrase in OUT_OF_MEMORY_PHRASES)


def available_memory_bytes(cgroup: Path = CGROUP) -> int:
    """What this process can still take: the machine's available memory, or what its container has left."""
    import psutil

    available = int(psutil.virtual_memory().available)
    left = cgroup_memory_left(cgroup)
    return available if left is None else min(available, left)


def cgroup_memory_left(cgroup: Path = CGROUP) -> int | None:
    """The container's limit less its usage, where the cache of files is no usage; None for no limit.

    The kernel drops that cache, also its active part, before it lets the container run out of memory: a dataset that
    was just read would else look like memory in use.
    """
    names, prefix = ("memory.max", "memory.current"), ""
    if not (cgroup / "memory.max").exists():
        cgroup = cgroup / "memory"
        names, prefix = ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_"
    try:
        limit, usage = (int((cgroup / name).read_text()) for name in names)
        cache = _statistics(cgroup / "memory.stat", (f"{prefix}inactive_file", f"{prefix}active_file"))
    except (OSError, ValueError):
        return None
    return max(0, limit - max(0, usage - cache))


def _statistics(path: Path, names: tuple[str, ...]) -> int:
    """The sum of these values; one that is missing counts as 0."""
    lines = (line.partition(" ") for line in path.read_text().splitlines())
    return sum(int(value) for key, _, value in lines if key in names)


def peak_memory_bytes(status: Path = STATUS) -> int:
    """The most memory that this process has held resident since its program began.

    Not ru_maxrss where Linux tells better: that outlives fork and exec, and so begins with what the process held that
    started this one.
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if peak := _high_water_mark(status):
        return peak
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _high_water_mark(status: Path) -> int:
    """Linux's VmHWM of a process in bytes; 0 where the system does not tell it."""
    try:
        lines = status.read_text(errors="replace").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
