from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from autoseg.memory import available_memory_bytes, cgroup_memory_left, peak_memory_bytes

GIB = 1 << 30


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\nactive_file {GIB // 2}\nfile_mapped 7\n")
    return tmp_path


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{4 * GIB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{3 * GIB}\n")
    own = "inactive_file 5\nactive_file 6\n"
    (folder / "memory.stat").write_text(f"{own}total_inactive_file 0\ntotal_active_file {GIB}\n")
    return tmp_path


def test_limit_less_usage_without_the_cache_of_files(version_2: Path) -> None:
    assert cgroup_memory_left(version_2) == 2.5 * GIB


def test_no_more_is_left_than_the_limit(version_2: Path) -> None:
    (version_2 / "memory.stat").write_text(f"inactive_file {9 * GIB}\n")
    assert cgroup_memory_left(version_2) == 4 * GIB


def test_older_cgroups(version_1: Path) -> None:
    assert cgroup_memory_left(version_1) == 2 * GIB


def test_no_limit(version_2: Path) -> None:
    (version_2 / "memory.max").write_text("max\n")
    assert cgroup_memory_left(version_2) is None
    assert cgroup_memory_left(version_2 / "nowhere") is None


def test_over_the_limit_leaves_nothing(version_2: Path) -> None:
    (version_2 / "memory.current").write_text(f"{9 * GIB}\n")
    assert available_memory_bytes(version_2) == 0


def test_machine_bounds_what_is_available(version_2: Path) -> None:
    (version_2 / "memory.max").write_text(str(1 << 60))
    assert 0 < available_memory_bytes(version_2) < psutil.virtual_memory().total


def test_peak_grows_with_what_is_held() -> None:
    before = peak_memory_bytes()
    held = np.ones(before // 8 + (32 << 20) // 8)
    assert peak_memory_bytes() > before
    assert held.nbytes > before


def test_the_peak_does_not_begin_with_that_of_the_process_that_started_this_one() -> None:
    held = np.ones((300 << 20) // 8)
    code = "from autoseg.memory import peak_memory_bytes; print(peak_memory_bytes())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(told) < held.nbytes / 2


def test_where_the_system_tells_no_peak_of_the_program_the_process_does(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t 5 kB\n")
    assert peak_memory_bytes(tmp_path / "status") > 10 << 20
    assert peak_memory_bytes(tmp_path / "nowhere") > 10 << 20


def test_the_peak_is_read_in_kibibytes(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  123456 kB\nVmRSS:\t 5 kB\n")
    assert peak_memory_bytes(tmp_path / "status") == 123456 * 1024
