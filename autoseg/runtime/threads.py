"""How many processor cores may be used, and how they are shared with other programs."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from autoseg.errors import OptionError
from autoseg.memory import CGROUP

WAIT_ROUNDS = "1000"
"""After which a waiting thread of torch's OpenMP (on Linux) goes to sleep. The default, 300 000, holds the core for
milliseconds: two trainings at once on two cores took 12.2 s per step in place of 1.6 s."""

THREAD_VARIABLES = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")
"""By which a user says how many threads torch takes."""


def wait_politely() -> None:
    """Let threads that wait give their core to others; to be called before torch is imported.

    What the user set (OMP_WAIT_POLICY, GOMP_SPINCOUNT) is left alone. On an idle machine it costs nothing.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", WAIT_ROUNDS)


class _Chosen:
    """How many threads were chosen for this process, and whether torch has yet to be told."""

    number: int | None = None
    is_told = True


def use_threads(threads: int | None = None) -> int:
    """Let engines compute with this many threads; None for what torch would take, at most the usable cores.

    Returns the number. To be called once, at the start of a command. Torch is not loaded for it: where that happens
    later, tell_torch passes it on. OptionError for a number below 1.
    """
    if threads is not None and threads < 1:
        raise OptionError(f"--threads must be at least 1, not {threads}.", "Leave it out to use all cores.")
    _Chosen.number = threads or max(1, min(_default_threads(), usable_cores()))
    _Chosen.is_told = False
    if "torch" in sys.modules:
        tell_torch()
    return _Chosen.number


def tell_torch() -> None:
    """Let torch have the threads that were chosen before it was loaded; those that it got since then are left."""
    import torch

    if not _Chosen.is_told and _Chosen.number is not None:
        torch.set_num_threads(_Chosen.number)
        _Chosen.is_told = True


def current_threads() -> int:
    """How many threads engines compute with: what use_threads chose, or what torch was told since."""
    if _Chosen.number is not None and not _Chosen.is_told:
        return _Chosen.number
    return _default_threads()


def _default_threads() -> int:
    """Those of torch; as long as it is not loaded, what it would take: one per core, of hyperthreads only one."""
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    import psutil

    given = next((os.environ[name] for name in THREAD_VARIABLES if os.environ.get(name, "").isdecimal()), None)
    return int(given) if given else min(psutil.cpu_count(logical=False) or usable_cores(), usable_cores())


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
