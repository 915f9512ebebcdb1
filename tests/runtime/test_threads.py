from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autoseg.runtime.threads import cgroup_cores, usable_cores, use_threads


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
