"""What compression.json says of the networks of every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.compression.latency import Latency
from autoseg.compression.report import NetworkMeasure, StepReport
from autoseg.data.folds import Fold
from autoseg.files import checksum
from autoseg.inference.calibration import Int8Record, int8_files, read_int8_record, write_int8_record
from autoseg.networks import build_network
from autoseg.networks.storage import load_network, save_network
from autoseg.plans import NetworkSpec, StagePlan
from autoseg.training.options import TrainingOptions
from trainers.job import Job
from trainers.measures import StepMeasures

STAGE = "3d_fullres"
MADE = [StepReport(name, 0.8, {"0": 0.8}, {}) for name in ("full", "narrow", "again")]
WEIGHTS = Path("fold_0") / "model.safetensors"


@pytest.fixture
def measures(tmp_path: Path, write_model, monkeypatch: pytest.MonkeyPatch) -> StepMeasures:
    """Of a model, a step that made it narrower, and one that left its structure as it was."""
    plans = write_model(tmp_path / "full")
    full = load_network(tmp_path / "full" / WEIGHTS).spec
    first, *rest = full.levels
    narrow = replace(full, levels=(replace(first, encoder_widths=(4,)), *rest))
    for name in ("narrow", "again"):
        save_network(tmp_path / "steps" / name / WEIGHTS, build_network(narrow))
    none: Any = None
    job = Job(none, none, plans, STAGE, tmp_path / "made", TrainingOptions(folds=("0",)))
    vars(job)["folds"] = (Fold((), ()),)
    settings = SimpleNamespace(device="cpu")
    monkeypatch.setattr("trainers.measures.StageTraining", lambda job, stage: SimpleNamespace(settings=settings))
    return StepMeasures(job, (STAGE,), tmp_path / "full", tmp_path / "steps")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[NetworkSpec | str]]:
    """What was to be timed, each time; every network in turn takes a second more."""
    found: list[Sequence[NetworkSpec | str]] = []

    def latency(stage: StagePlan, networks: Sequence[NetworkSpec | str], *, device: str) -> Latency:
        found.append(networks)
        return Latency(tuple(float(number) for number in range(1, len(networks) + 1)), "torch fp32")

    monkeypatch.setattr("trainers.measures.measured_latency", latency)
    return found


@pytest.fixture
def forms(measures: StepMeasures) -> list[Path]:
    """The files of the last step in int8, accepted."""
    weights = measures.steps / "again" / WEIGHTS
    model, values = int8_files(weights)
    model.write_bytes(b"structure")
    values.write_bytes(b"values")
    record = Int8Record(checksum(weights), checksum(model), checksum(values), 4, 0.8, 0.8, 0.01, (1.0, 2.0))
    write_int8_record(weights, record)
    return [model, values]


def networks_of(measures: StepMeasures) -> list[NetworkMeasure]:
    return [step.networks[STAGE] for step in measures.add_networks(MADE)[0]]


def test_networks_of_one_structure_are_timed_once(
    measures: StepMeasures, asked: list[Sequence[NetworkSpec | str]]
) -> None:
    found = networks_of(measures)
    assert [len(networks) for networks in asked] == [2]
    assert [one.seconds_per_patch for one in found] == [1.0, 2.0, 2.0]
    assert found[0].parameters > found[1].parameters == found[2].parameters


def test_a_network_in_int8_is_measured_as_prediction_takes_it(
    measures: StepMeasures, asked: list[Sequence[NetworkSpec | str]], forms: list[Path]
) -> None:
    found = networks_of(measures)
    assert [isinstance(one, str) for one in asked[0]] == [False, False, True]
    assert asked[0][2] == str(forms[0])
    assert [one.seconds_per_patch for one in found] == [1.0, 2.0, 3.0]
    assert [one.engine for one in found] == ["torch fp32", "torch fp32", "openvino int8"]
    assert found[2].bytes == found[1].bytes + len(b"structure") + len(b"values")


def test_on_a_gpu_floats_are_timed(
    measures: StepMeasures,
    asked: list[Sequence[NetworkSpec | str]],
    forms: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = SimpleNamespace(device="cuda")
    monkeypatch.setattr("trainers.measures.StageTraining", lambda job, stage: SimpleNamespace(settings=settings))
    assert [one.engine for one in networks_of(measures)] == ["torch fp32"] * 3
    assert not any(isinstance(one, str) for one in asked[0])


def test_int8_that_was_refused_is_no_part_of_it(
    measures: StepMeasures, asked: list[Sequence[NetworkSpec | str]], forms: list[Path]
) -> None:
    weights = measures.steps / "again" / WEIGHTS
    record = read_int8_record(weights)
    assert record is not None
    write_int8_record(weights, replace(record, dice_after=0.5))
    found = networks_of(measures)
    assert found[2].engine == "torch fp32"
    assert found[2].bytes == weights.stat().st_size


def test_an_engine_that_fails_leaves_the_other_measures(
    measures: StepMeasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoseg.errors import ResourceError

    def fail(*arguments: object, **rest: object) -> None:
        raise ResourceError("It died.")

    monkeypatch.setattr("trainers.measures.measured_latency", fail)
    assert measures.add_networks(MADE)[1] == {STAGE: "not measured"}
    assert [one.seconds_per_patch for one in networks_of(measures)] == [None, None, None]
    assert all(one.bytes for one in networks_of(measures))
