"""What a child took, with its own children; and how one is ended."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from comparison.processes import ChildError, ChildMemoryError, run_child

MEBIBYTE = 1024**2
HOLD = "held = bytearray(b'x') * (60 * 2**20); print('ready', flush=True); input()"
TWO_HOLD = f"""
import subprocess, sys, time
words = [sys.executable, "-c", {HOLD!r}]
children = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in "ab"]
[child.stdout.readline() for child in children]
time.sleep(0.5)
[child.communicate(b"end\\n") for child in children]
"""


def test_memory_of_grandchildren_counts(tmp_path: Path) -> None:
    """Two processes with 60 MiB each at the same time, below one that holds nothing."""
    usage = run_child([sys.executable, "-c", TWO_HOLD], log=tmp_path / "log")
    assert 120 * MEBIBYTE < usage.peak_bytes < 220 * MEBIBYTE
    assert usage.wall_seconds > 0.5


def test_processor_time_of_a_grandchild_counts(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.4: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    assert run_child([sys.executable, "-c", script], log=tmp_path / "log").cpu_seconds >= 0.4


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="it broke"):
        run_child([sys.executable, "-c", "raise SystemExit('it broke')"], log=tmp_path / "logs" / "log")


def test_a_tree_that_takes_too_much_is_ended_whole(tmp_path: Path) -> None:
    marker = f"marker-{tmp_path.name}"
    child = f"import time; held = bytearray(b'x') * (60 * 2**20); time.sleep(60)  # {marker}"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(ChildMemoryError, match="stopped at"):
        run_child([sys.executable, "-c", script], log=tmp_path / "log", limit_bytes=50 * MEBIBYTE)
    deadline = time.monotonic() + 10  # a process that was killed may take a moment on a busy machine
    while running_with(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_with(marker) == []


def running_with(marker: str) -> list[psutil.Process]:
    """The processes with a word in their command that have not ended; one that nobody has waited for has."""
    found = psutil.process_iter(["cmdline", "status"])
    alive = [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]
    return [process for process in alive if marker in " ".join(process.info["cmdline"] or [])]


def test_variables_are_added_to_those_of_this_process(tmp_path: Path) -> None:
    script = "import os; print(os.environ['ADDED'], 'PATH' in os.environ)"
    run_child([sys.executable, "-c", script], log=tmp_path / "log", environment={"ADDED": "yes"})
    assert (tmp_path / "log").read_text().splitlines()[-1] == "yes True"
