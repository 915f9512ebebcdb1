"""The child process: what engines that are right, wrong, or deadly come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.inference.backends import BACKENDS
from autoseg.inference.backends.choice import ask
from autoseg.inference.backends.probe import (
    Candidate,
    ProbeRequest,
    Trial,
    answer,
    noise,
    phantom,
    seasoned_network,
)
from autoseg.plans import LevelSpec, NetworkSpec

SPEC = NetworkSpec(
    "residual_unet",
    2,
    2,
    3,
    (
        LevelSpec((1, 1), (3, 3), (8,), (8,), 8, (8,)),
        LevelSpec((2, 2), (3, 3), (8,), (8,)),
    ),
)
WRONG = """
import os, signal
from autoseg.inference.backends.pytorch import TorchBackend

class Shifted(TorchBackend):
    def compile(self, network, options):
        run = super().compile(network, options)
        return lambda batch: run(batch) + 0.1

class NotFinite(TorchBackend):
    def compile(self, network, options):
        run = super().compile(network, options)
        return lambda batch: run(batch) * float("nan")

class Raising(TorchBackend):
    def compile(self, network, options):
        raise RuntimeError("no kernel for this")

class Large(TorchBackend):
    def compile(self, network, options):
        raise RuntimeError("std::bad_alloc")

class Deadly(TorchBackend):
    def compile(self, network, options):
        return lambda batch: os.kill(os.getpid(), signal.SIGSEGV)

class Killed(TorchBackend):
    def compile(self, network, options):
        return lambda batch: os.kill(os.getpid(), signal.SIGKILL)
"""


def request(*names: str, timed: bool) -> ProbeRequest:
    candidates = tuple(Candidate(name, "fp32") for name in names)
    return ProbeRequest(candidates, SPEC, (8, 12), batch_size=2, threads=1, timed=timed)


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module wrong_engines that child processes can import."""
    (tmp_path / "wrong_engines.py").write_text(WRONG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_child_measures_every_backend() -> None:
    trials = ask(request(*BACKENDS, timed=True))
    assert [trial.candidate.backend for trial in trials] == list(BACKENDS)
    assert [trial.refusal for trial in trials] == ["", "", ""]
    assert all(trial.seconds > 0 and trial.speedup > 0 and len(trial.errors) == 2 for trial in trials)
    assert trials[0].speedup == 1


def test_without_timing_only_logits_are_compared() -> None:
    (trial,) = answer(request("openvino", timed=False)).trials
    assert (trial.seconds, trial.speedup, trial.refusal) == (0, 0, "")


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize(
    ("name", "reason"),
    [("Shifted", "logits are off by"), ("NotFinite", "not finite"), ("Raising", "no kernel for this")],
)
def test_a_wrong_engine_is_refused(name: str, reason: str) -> None:
    trials = answer(request("torch", f"wrong_engines:{name}", timed=False)).trials
    assert trials[0].refusal == ""
    assert reason in trials[1].refusal


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize(
    ("name", "signal", "passing"),
    [("Deadly", "SIGSEGV", False), ("Killed", "SIGKILL", True)],
    ids=["of itself", "for want of memory"],
)
def test_an_engine_that_kills_its_process_kills_no_other(name: str, signal: str, passing: bool) -> None:
    (trial,) = ask(request(f"wrong_engines:{name}", timed=False))
    candidate = Candidate(f"wrong_engines:{name}", "fp32")
    assert trial == Trial(candidate, failure=f"its process died of {signal}", passing=passing)


@pytest.mark.usefixtures("wrong")
def test_too_little_memory_may_be_over_another_time_and_a_missing_kernel_not() -> None:
    trials = answer(request("wrong_engines:Large", "wrong_engines:Raising", timed=False)).trials
    assert [(bool(trial.refusal), trial.passing) for trial in trials] == [(True, True), (True, False)]


def test_every_part_of_the_seasoned_network_matters() -> None:
    network, batch = seasoned_network(SPEC), noise(request(timed=False))
    network(torch.from_numpy(batch)).square().mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_inputs_are_of_the_shape_asked_for_and_the_phantom_has_air() -> None:
    images = phantom(request(timed=False))
    assert images.shape == noise(request(timed=False)).shape == (2, 2, 8, 12)
    assert (images[:, 0] == images[:, 0].min()).mean() > 0.2
    assert np.unique(images[:, 1]).tolist() == [0, 1]
