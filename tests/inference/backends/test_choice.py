"""Which engine is taken: measured once, refused where wrong, and not measured for little work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.errors import OptionError, ResourceError
from autoseg.inference import backends
from autoseg.inference.backends import choice
from autoseg.inference.backends.choice import PROBE_TIMEOUT_SECONDS, Task, ask, choose, fastest, pays, possible
from autoseg.inference.backends.probe import Calibrated, Candidate, ProbeAnswer, ProbeRequest, Trial
from autoseg.runtime.child import ChildError
from autoseg.runtime.speed import probe_spec

TORCH, TORCH_BF16 = Candidate("torch", "fp32"), Candidate("torch", "bf16")
OPENVINO, ONNX = Candidate("openvino", "fp32"), Candidate("onnxruntime", "fp32")
MUCH = Task(probe_spec(), (16, 16, 16), batch_size=1, threads=1, windows=1e6)
GOOD = (1e-5, 1e-4)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ProbeRequest]:
    """A child that finds OpenVINO fastest; the requests that it gets."""
    requests: list[ProbeRequest] = []

    def answer(command: object, request: ProbeRequest, kind: object, *, timeout_seconds: float) -> ProbeAnswer:
        requests.append(request)
        speed = {"openvino": 2.0, "onnxruntime": 1.1, "torch": 1.0}
        return ProbeAnswer(tuple(Trial(one, GOOD, 0.1, speed[one.backend]) for one in request.candidates))

    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "has_bf16_instructions", lambda: False)
    monkeypatch.setattr(choice, "answer_of", answer)
    return requests


def test_the_fastest_is_measured_once(asked: list[ProbeRequest]) -> None:
    for _ in range(2):
        assert choose(MUCH).backend == "openvino"
    assert [request.candidates for request in asked] == [(TORCH, OPENVINO, ONNX)]
    assert choose(replace(MUCH, windows=1)).backend == "openvino", "what is remembered costs nothing"


def test_what_it_depends_on_is_measured_anew(asked: list[ProbeRequest], monkeypatch: pytest.MonkeyPatch) -> None:
    for task in (MUCH, replace(MUCH, threads=2), replace(MUCH, patch_size=(32, 16, 16)), replace(MUCH, batch_size=2)):
        choose(task)
    choose(replace(MUCH, network=replace(MUCH.network, out_channels=9)))
    assert len(asked) == 5
    monkeypatch.setattr(backends, "version", lambda package: "0.0")
    choose(MUCH)
    assert len(asked) == 6


def test_little_work_is_not_measured(asked: list[ProbeRequest]) -> None:
    found = choose(replace(MUCH, windows=42))
    assert (found.backend, found.precision) == ("torch", "fp32")
    assert "too little work" in found.reason
    assert asked == []


def test_a_measurement_pays_by_the_work_ahead() -> None:
    small = replace(MUCH, patch_size=(40, 40, 40), windows=42)
    assert not pays(small, 3)
    assert pays(replace(small, windows=10_000), 3)
    assert not pays(replace(small, patch_size=(128, 128, 128), windows=10), 3)


def test_a_named_backend_is_only_compared_and_that_once(asked: list[ProbeRequest]) -> None:
    for _ in range(2):
        assert choose(replace(MUCH, windows=1), backend="onnxruntime").backend == "onnxruntime"
    assert [(request.candidates, request.timed) for request in asked] == [((ONNX,), False)]
    assert choose(MUCH, backend="torch").backend == "torch"
    assert len(asked) == 1, "torch is compared with nothing"


def test_torch_is_compared_too_unless_it_computes_in_fp32(asked: list[ProbeRequest]) -> None:
    little = replace(MUCH, windows=1)
    assert choose(little, backend="torch", precision="fp32").precision == "fp32"
    assert asked == []
    assert choose(little, backend="torch", precision="bf16").precision == "bf16"
    assert [(request.candidates, request.timed) for request in asked] == [((TORCH_BF16,), False)]


def test_bf16_is_tried_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_bf16_instructions", lambda: False)
    assert possible("auto", "auto") == [TORCH, OPENVINO, ONNX]
    monkeypatch.setattr(choice, "has_bf16_instructions", lambda: True)
    assert possible("auto", "auto") == [TORCH, OPENVINO, ONNX, TORCH_BF16, Candidate("openvino", "bf16")]
    assert possible("openvino", "fp32") == [OPENVINO]
    with pytest.raises(OptionError, match="onnxruntime does not compute bf16"):
        possible("onnxruntime", "bf16")


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (Trial(OPENVINO, (0.002, 1e-4), 0.1, 9.0), "its logits are off by 0.002 of torch's, more than 0.001"),
        (Trial(OPENVINO, (1e-5, 0.06), 0.1, 9.0), "off by 0.06"),
        (Trial(OPENVINO, (None, 1e-4), 0.1, 9.0), "its logits are not finite"),
        (Trial(OPENVINO, failure="its process died of SIGSEGV"), "died of SIGSEGV"),
    ],
)
def test_what_is_wrong_is_refused_however_fast(trial: Trial, reason: str) -> None:
    found = fastest([Trial(TORCH, GOOD, 1.0, 1.0), trial])
    assert (found.backend, found.precision) == ("torch", "fp32")
    assert f"openvino fp32 was refused: {trial.refusal}" in found.reason
    assert reason in found.reason
    with pytest.raises(OptionError, match=reason):
        fastest([trial])


def test_torch_stays_unless_another_is_clearly_faster() -> None:
    assert fastest([Trial(TORCH, GOOD, 1.0, 1.0), Trial(OPENVINO, GOOD, 0.97, 1.03)]).backend == "torch"
    assert fastest([Trial(TORCH, GOOD, 1.0, 1.0), Trial(OPENVINO, GOOD, 0.9, 1.1)]).backend == "openvino"


@pytest.mark.parametrize("own", [Trial(TORCH, failure="not enough memory"), Trial(TORCH, (1e-5, 0.06), 1.0, 1.0)])
def test_what_the_others_are_held_against_is_taken_where_none_agrees(own: Trial) -> None:
    found = fastest([own, Trial(OPENVINO, failure="not enough memory")])
    assert (found.backend, found.precision) == ("torch", "fp32")
    assert found.reason.endswith("openvino fp32 was refused: not enough memory")


def test_the_one_that_kills_the_child_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(command: object, request: ProbeRequest, kind: object, *, timeout_seconds: float) -> ProbeAnswer:
        if OPENVINO in request.candidates:
            raise ChildError("its process died of SIGILL")
        return ProbeAnswer(tuple(Trial(one, GOOD, 0.1, 1.0) for one in request.candidates))

    monkeypatch.setattr(choice, "answer_of", answer)
    trials = ask(MUCH.request([TORCH, OPENVINO, ONNX], timed=True))
    assert [trial.failure for trial in trials] == ["", "its process died of SIGILL", ""]


def dying_with(monkeypatch: pytest.MonkeyPatch, error: ChildError, *dying: Candidate) -> list[float]:
    """Children that die of an error where one of these candidates is tried; the times that they are given."""
    given: list[float] = []

    def answer(command: object, request: ProbeRequest, kind: object, *, timeout_seconds: float) -> ProbeAnswer:
        given.append(timeout_seconds)
        if set(dying) & set(request.candidates):
            raise error
        return ProbeAnswer(tuple(Trial(one, GOOD, 0.1, 1.0) for one in request.candidates))

    monkeypatch.setattr(choice, "answer_of", answer)
    return given


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(("passing", "remembered"), [(True, False), (False, True)])
def test_only_what_comes_out_the_same_again_is_remembered(
    passing: bool, remembered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dying_with(monkeypatch, ChildError("its process died", passing=passing), OPENVINO)
    for _ in range(2):
        assert choose(MUCH).reason == "1.00 times as fast as torch fp32; openvino fp32 was refused: its process died"
    assert len(given) == (4 if remembered else 8)


@pytest.mark.usefixtures("asked")
def test_without_any_trial_it_is_torch_and_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dying_with(monkeypatch, ChildError("its process died", passing=False), TORCH, OPENVINO, ONNX)
    for _ in range(2):
        found = choose(MUCH)
        assert (found.backend, found.precision) == ("torch", "fp32")
    assert len(given) == 8


def test_children_that_hang_are_waited_for_twice_the_time_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dying_with(monkeypatch, ChildError("no answer"), TORCH, OPENVINO, ONNX)
    ask(MUCH.request([TORCH, OPENVINO, ONNX], timed=True))
    assert len(given) == 4
    assert sum(given) == pytest.approx(2 * PROBE_TIMEOUT_SECONDS)


def test_an_int8_network_is_known_by_what_it_says_wherever_it_lies(asked: list[ProbeRequest]) -> None:
    made = replace(MUCH, int8=Calibrated("steps/int8/fold_0/int8.xml", (0.5, 0.25)))
    assert choose(made).backend == "openvino"
    moved = replace(made, windows=1, int8=Calibrated("elsewhere/int8.xml", (0.5, 0.25)))
    assert "too little work" not in choose(moved).reason
    choose(replace(made, int8=Calibrated("steps/int8/fold_0/int8.xml", (0.5, 0.3))))
    assert [request.int8 and request.int8.answer for request in asked] == [(0.5, 0.25), (0.5, 0.3)]
    assert asked[0].int8 == made.int8, "the child must find the file"


@pytest.fixture
def _bytes_by_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred bytes for each candidate that is tried at once."""
    monkeypatch.setattr(choice, "needed_bytes", lambda request: 100 * len(request.candidates))


@pytest.mark.usefixtures("_bytes_by_candidate")
@pytest.mark.parametrize(
    ("memory_bytes", "tried"),
    [(None, [(TORCH, OPENVINO, ONNX)]), (300, [(TORCH, OPENVINO, ONNX)]), (299, [(TORCH,), (OPENVINO,), (ONNX,)])],
)
def test_where_memory_is_short_each_engine_is_tried_alone(
    asked: list[ProbeRequest], memory_bytes: int | None, tried: list[tuple[Candidate, ...]]
) -> None:
    assert choose(replace(MUCH, memory_bytes=memory_bytes)).backend == "openvino"
    assert [request.candidates for request in asked] == tried
    assert all(request.timed for request in asked)
    assert choose(replace(MUCH, memory_bytes=1)).backend == "openvino", "what is remembered takes no memory"
    assert len(asked) == len(tried)


@pytest.mark.usefixtures("_bytes_by_candidate")
def test_what_does_not_fit_into_memory_is_not_tried(asked: list[ProbeRequest]) -> None:
    tight = replace(MUCH, memory_bytes=99)
    found = choose(tight)
    assert (found.backend, found.precision) == ("torch", "fp32")
    assert found.reason == "no measurement at hand, and too little --memory for one"
    with pytest.raises(ResourceError, match=r"openvino fp32 computes right takes .*more than --memory"):
        choose(tight, backend="openvino")
    assert asked == []
