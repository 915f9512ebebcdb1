"""Seconds per patch come from a process of their own."""

from __future__ import annotations

import prunable_networks as networks
import pytest

from autoseg.compression import latency
from autoseg.compression.latency import LatencyRequest, answer, measured_latency
from autoseg.errors import ResourceError
from autoseg.inference.backends.choice import Choice
from autoseg.plans import StagePlan


def request(*bases: int) -> LatencyRequest:
    specs = tuple(networks.spec_of("unet", base=base) for base in bases)
    return LatencyRequest(specs, "torch", "fp32", (16, 16, 16), 1, 1, "cpu")


def test_a_far_smaller_network_is_faster() -> None:
    full, small = answer(request(24, 3)).seconds
    assert 0 < small < full


def test_the_engine_is_the_one_that_prediction_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("autoseg.inference.backends.choice.choose", lambda task: Choice("torch", "fp32", "measured"))
    monkeypatch.setattr(
        latency, "answer_of", lambda command, request, kind, **rest: asked.append(request) or answer(request)
    )
    specs = request(4, 3).networks
    stage = StagePlan("3d_fullres", (1.0,) * 3, (20.0,) * 3, (16, 16, 16), 2, specs[0], False)
    found = measured_latency(stage, specs, device="cpu")
    assert found.engine == "torch fp32"
    assert asked[0].networks == specs
    assert len(found.seconds) == 2


def test_an_engine_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **rest: object) -> None:
        raise latency.ChildError("its process died of SIGILL")

    monkeypatch.setattr("autoseg.inference.backends.choice.choose", lambda task: Choice("torch", "fp32", "measured"))
    monkeypatch.setattr(latency, "answer_of", fail)
    spec = request(4).networks[0]
    stage = StagePlan("3d_fullres", (1.0,) * 3, (20.0,) * 3, (16, 16, 16), 2, spec, False)
    with pytest.raises(ResourceError, match="3d_fullres could not be measured: its process died of SIGILL"):
        measured_latency(stage, [spec], device="cpu")
