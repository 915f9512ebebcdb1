from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.networks.cost import network_cost
from autoseg.runtime import speed


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path))
    monkeypatch.setitem(speed.PROBE_PATCHES, "cpu", (8, 8, 8))


def test_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = speed.seconds_per_multiply_add("cpu")
    assert 1e-14 < seconds < 1e-6
    monkeypatch.setattr(speed, "measure", lambda *args, **options: pytest.fail("was measured again"))
    assert speed.seconds_per_multiply_add("cpu") == seconds


def test_is_the_faster_step_over_three_forward_passes_and_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter([9.0, 3.0, 4.0])
    monkeypatch.setattr(speed, "_step_seconds", lambda *args, **options: next(steps))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    work = network_cost(speed.probe_spec(), (8, 8, 8), speed.BATCH_SIZE).multiply_adds
    found = speed.measure(speed.probe_spec(), (8, 8, 8), device="cpu", precision="fp32")
    assert found == pytest.approx(3.0 / (2**speed.THREAD_EFFICIENCY * 3 * work))


def test_a_step_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(speed, "_step_seconds", lambda *args, **options: seen.append(torch.get_num_threads()) or 1.0)
    speed.measure(speed.probe_spec(), (8, 8, 8), device="cpu", precision="fp32")
    assert seen == [1, 1, 1]


def test_leaves_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    speed.measure(speed.probe_spec(), (8, 8, 8), device="cpu", precision="fp32")
    assert torch.get_num_threads() == before


def test_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    speed.seconds_per_multiply_add("cpu")
    assert torch.equal(torch.get_rng_state(), before)
