from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autoseg.errors import OptionError
from autoseg.runtime.threads import cgroup_cores, usable_cores, use_threads, wait_politely


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
