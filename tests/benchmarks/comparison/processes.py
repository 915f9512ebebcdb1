"""Running a command as a child: wall clock, processor time and peak memory of its whole process tree."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import struct_rusage

import psutil

SAMPLING_SECONDS = (0.004, 0.1)
"""Between two looks: at the begin, so that a short command is seen, and at most."""
SAMPLING_GROWTH = 0.02
SAMPLING_SHARE = 0.03
"""Looking at a large process takes long: at most this share of a core is spent on it."""


@dataclass(frozen=True)
class Usage:
    """What a command took.

    wall_seconds, cpu_seconds: of the whole tree. peak_bytes: the largest resident size of a single process, or, where
    it is more, the largest sum over several processes of their proportional set sizes (a page that n processes share
    counts 1/n in each), sampled. started: time.time() at the start.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    started: float


class ChildError(Exception):
    """A command that ended with an error; the log is named."""


class ChildMemoryError(ChildError):
    """A command that was stopped because its tree took more memory than allowed."""


def run_child(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    limit_bytes: int | None = None,
    folder: Path | None = None,
) -> Usage:
    """Run a command to its end. environment: added to this process's own. log: gets its output.

    Raises ChildError with the end of the log for an exit code other than 0; ChildMemoryError, after killing the tree,
    where its memory passed limit_bytes. An interrupt kills the tree, too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with open(log, "ab") as output:
        begin = output.tell()
        output.write(f"\n$ {' '.join(words)}\n".encode())
        output.flush()
        started, began = time.time(), time.perf_counter()
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
        tree = Tree(child.pid)
        try:
            status, usage = _wait(child, tree, limit_bytes)
        except BaseException:
            _kill(child)
            raise
    wall = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status):
        raise ChildError(f"{' '.join(words[:4])} ... failed; see {log}:\n{_end_of(log, begin)}")
    cpu = max(usage.ru_utime + usage.ru_stime, tree.cpu_seconds)
    return Usage(wall, cpu, tree.peak_bytes, started)


def _wait(child: subprocess.Popen[bytes], tree: Tree, limit_bytes: int | None) -> tuple[int, struct_rusage]:
    """Sample until the child ends; its wait status, and the usage of it and all descendants that were waited for."""
    least, most = SAMPLING_SECONDS
    first, pause, ended = time.perf_counter(), least, os.pidfd_open(child.pid)
    try:
        while not select.select([ended], [], [], pause)[0]:
            began = time.thread_time()
            held = tree.sample()
            if limit_bytes is not None and held > limit_bytes:
                allowed = f"{limit_bytes / 1024**3:.1f} GiB allowed"
                raise ChildMemoryError(f"stopped at {held / 1024**3:.1f} GiB, with {allowed}")
            pause = min(most, max(least, SAMPLING_GROWTH * (time.perf_counter() - first)))
            pause = max(pause, (time.thread_time() - began) / SAMPLING_SHARE)
    finally:
        os.close(ended)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return status, usage


class Tree:
    """A process and its descendants, looked at again and again.

    peak_bytes: the largest sum of proportional set sizes, or resident size of one process. cpu_seconds: the sum over
    all processes of what each had used when it was last seen.
    """

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._cpu: dict[tuple[int, float], float] = {}
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all processes seen so far."""
        return sum(self._cpu.values())

    def sample(self) -> int:
        """Look once; the bytes that the tree holds now."""
        pids = [self._root, *descendants(self._root)]
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                times = process.cpu_times()
                self._cpu[pid, process.create_time()] = times.user + times.system
            self.peak_bytes = max(self.peak_bytes, resident_bytes(pid, peak=True))
        held = sum(map(proportional_bytes, pids)) if len(pids) > 1 else resident_bytes(self._root)
        self.peak_bytes = max(self.peak_bytes, held)
        return held


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on."""
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in map(int, (thread / "children").read_text().split()):
                    found += [child, *descendants(child)]
    return found


def proportional_bytes(pid: int) -> int:
    """The proportional set size of a process; 0 where it has ended."""
    return 1024 * _kibibytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def resident_bytes(pid: int, *, peak: bool = False) -> int:
    """The resident size of a process, now or at its largest since it began its program; 0 where it has ended.

    getrusage's ru_maxrss would begin with the size of the process that started it.
    """
    return 1024 * _kibibytes(Path(f"/proc/{pid}/status"), "VmHWM:" if peak else "VmRSS:")


def _kibibytes(path: Path, name: str) -> int:
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
    except OSError:
        return 0


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child's session: the child and whatever it started."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _end_of(log: Path, begin: int, lines: int = 15) -> str:
    """The last lines that were written after so many bytes."""
    return "\n".join(log.read_bytes()[begin:].decode(errors="replace").splitlines()[-lines:])
