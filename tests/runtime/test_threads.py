from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autoseg.errors import OptionError
from autoseg.runtime.threads import cgroup_cores, usable_cores, use_threads, wait_politely

ROOT = Path(__file__).parents[2]


@pytest.fixture
def _threads_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("text", "cores"), [("200000 100000", 2), ("150000 100000", 2), ("max 100000", None)])
def test_share_of_a_container(tmp_path: Path, text: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cgroup_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", None)])
def test_share_in_older_cgroups(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cgroup_cores(tmp_path) == cores


def test_small_share_is_still_one_core(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("1000 100000")
    assert usable_cores(tmp_path) == 1


@pytest.mark.usefixtures("_threads_restored")
def test_threads_asked_for_are_used() -> None:
    assert use_threads(3) == torch.get_num_threads() == 3


@pytest.mark.usefixtures("_threads_restored")
def test_by_default_no_more_threads_than_cores() -> None:
    torch.set_num_threads(1000)
    assert use_threads() == torch.get_num_threads() == usable_cores()


LATE = """
import os, sys
sys.path[:0] = sys.argv[1:]
from autoseg.runtime.threads import current_threads, tell_torch, use_threads
before, chosen, known, early = current_threads(), use_threads(1), current_threads(), "torch" in sys.modules
from autoseg.runtime import speed
speed.remembered = lambda name, key, measure: 1.0
speed.seconds_per_multiply_add("cpu")
import torch
told = torch.get_num_threads()
torch.set_num_threads(2)
tell_torch()
print(before, chosen, known, early, told, torch.get_num_threads(), current_threads())
"""


def test_threads_are_chosen_before_torch_is_loaded_and_passed_on_once() -> None:
    given = {**os.environ, "MKL_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", LATE, str(ROOT)], capture_output=True, text=True, timeout=120, check=True, env=given
    )
    assert done.stdout.split() == ["3", "1", "1", "False", "1", "2", "2"]


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_that_cannot_be_is_told(threads: int) -> None:
    with pytest.raises(OptionError, match=f"--threads must be at least 1, not {threads}. Leave it out"):
        use_threads(threads)


def test_waiting_threads_give_their_core_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    wait_politely()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")])
def test_waiting_as_the_user_set_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for each in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    wait_politely()
    assert {each: os.environ.get(each) for each in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} == {
        "OMP_WAIT_POLICY": None,
        "GOMP_SPINCOUNT": None,
        name: value,
    }
