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
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[NetworkSpec]]:
    """What was to be timed, each time; every network in turn takes a second more."""
    found: list[Sequence[NetworkSpec]] = []

    def latency(stage: StagePlan, networks: Sequence[NetworkSpec], *, device: str) -> Latency:
        found.append(networks)
        return Latency(tuple(float(number) for number in range(1, len(networks) + 1)), "torch fp32")

    monkeypatch.setattr("trainers.measures.measured_latency", latency)
    return found


def networks_of(measures: StepMeasures) -> list[NetworkMeasure]:
    return [step.networks[STAGE] for step in measures.add_networks(MADE)[0]]


def test_networks_of_one_structure_are_timed_once(measures: StepMeasures, asked: list[Sequence[NetworkSpec]]) -> None:
    found = networks_of(measures)
    assert [len(networks) for networks in asked] == [2]
    assert [one.seconds_per_patch for one in found] == [1.0, 2.0, 2.0]
    assert found[0].parameters > found[1].parameters == found[2].parameters


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
