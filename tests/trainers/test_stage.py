"""What a stage says before it trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.plans import TrainingPlan
from autoseg.training.options import TrainingOptions, settle
from trainers.stage import StageTraining


def announcement(planned_seconds: float | None, budget_seconds: float | None) -> str:
    plan = replace(TrainingPlan(), budget_seconds=planned_seconds)
    stage: Any = SimpleNamespace(network_name="3d_fullres", training=plan)
    training = StageTraining(SimpleNamespace(), stage)  # type: ignore[arg-type]
    options = TrainingOptions(budget_seconds=budget_seconds, epochs=None if budget_seconds else 100)
    vars(training)["settings"] = settle(plan, options, precision="fp32", device="cpu")
    return training.announcement(2)


def test_the_time_is_told_beforehand() -> None:
    assert announcement(600, 600) == "3d_fullres: 2 trainings of 10m00s each, 20m00s in all, and then validation."


@pytest.mark.parametrize(("planned", "hinted"), [(3600, True), (1800, True), (1799, False), (None, False)])
def test_a_plan_for_a_far_longer_training_is_pointed_out(planned: float | None, hinted: bool) -> None:
    assert ("with the same --budget" in announcement(planned, 600)) == hinted


def test_the_time_of_epochs_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageTraining, "_seconds_per_iteration", lambda training: 0.1)
    expected = "2 trainings of 100 epochs of 250 iterations each, about 1h23m in all on this machine"
    assert expected in announcement(None, None)


def test_an_iteration_is_estimated_by_its_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network that organs share by the mean over regions, of which a pair has two."""
    from autoseg.networks.cost import network_cost
    from autoseg.runtime.speed import probe_spec

    monkeypatch.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-10)
    small, large = ((16, 16, 16), None), ((32, 32, 32), SimpleNamespace(organs=("left", "right")))
    stages: list[Any] = [
        SimpleNamespace(network=probe_spec(), patch_size=patch_size, batch_size=2, region=region)
        for patch_size, region in (small, large)
    ]
    for sharing, regions in (([stages[0]], 1), (stages, 3)):
        plans = SimpleNamespace(sharing=lambda stage, sharing=sharing: sharing)
        training = StageTraining(SimpleNamespace(plans=plans), stages[0])  # type: ignore[arg-type]
        vars(training)["settings"] = SimpleNamespace(device="cpu")
        work = network_cost(probe_spec(), (16, 16, 16), 2).multiply_adds * (1 if regions == 1 else (1 + 2 * 8) / 3)
        assert training._seconds_per_iteration() == pytest.approx(3e-10 * work)


def test_nothing_is_announced_for_what_is_trained() -> None:
    stage: Any = SimpleNamespace(network_name="3d_fullres")
    assert StageTraining(SimpleNamespace(), stage).announcement(0) == "3d_fullres: trained already."  # type: ignore[arg-type]


@dataclass(frozen=True)
class Record:
    """Stands for a FittingRecord: of these settings."""

    settings: str

    @classmethod
    def of(cls, settings: str, *rest: object) -> Record:
        return cls(settings)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        return cls(path.read_text()) if path.exists() else None

    def write(self, path: Path) -> None:
        path.write_text(self.settings)

    def refuse_other(self, other: Record, folder: Path) -> None:
        assert folder.is_dir()


@pytest.mark.parametrize(("has_checkpoint", "recorded"), [(True, "of the checkpoint"), (False, "other")])
def test_settings_that_the_checkpoint_may_refuse_do_not_replace_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_checkpoint: bool, recorded: str
) -> None:
    monkeypatch.setattr("trainers.stage.FittingRecord", Record)
    task: Any = SimpleNamespace(
        folder=tmp_path,
        record_file=tmp_path / "training.json",
        model_file=tmp_path / "model.safetensors",
        checkpoint=tmp_path / "checkpoint_latest.safetensors",
        cases=None,
    )
    task.record_file.write_text("of the checkpoint")
    if has_checkpoint:
        task.checkpoint.touch()
    job: Any = SimpleNamespace(options=SimpleNamespace(precision="fp32"), plans=None, making=None)
    training = StageTraining(job, SimpleNamespace())  # type: ignore[arg-type]
    vars(training)["settings"] = "other"
    assert training._settle(task) == "other"
    assert task.record_file.read_text() == recorded
