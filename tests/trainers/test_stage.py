"""What a stage says before it trains."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.plans import TrainingPlan
from autoseg.training.options import TrainingOptions, settle
from trainers.stage import StageTraining


def announcement(planned_seconds: float | None, budget_seconds: float) -> str:
    plan = replace(TrainingPlan(), budget_seconds=planned_seconds)
    stage: Any = SimpleNamespace(name="3d_fullres", training=plan)
    training = StageTraining(SimpleNamespace(), stage)  # type: ignore[arg-type]
    options = TrainingOptions(budget_seconds=budget_seconds)
    vars(training)["settings"] = settle(plan, options, precision="fp32", device="cpu")
    return training.announcement(2)


def test_the_time_is_told_beforehand() -> None:
    assert announcement(600, 600) == "3d_fullres: 2 trainings of 10m00s each, 20m00s in all, and then validation."


@pytest.mark.parametrize(("planned", "hinted"), [(3600, True), (1800, True), (1799, False), (None, False)])
def test_a_plan_for_a_far_longer_training_is_pointed_out(planned: float | None, hinted: bool) -> None:
    assert ("with the same --budget" in announcement(planned, 600)) == hinted
