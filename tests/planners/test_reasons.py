from __future__ import annotations

import re
from dataclasses import replace

import pytest

from autoseg.fingerprint import Fingerprint
from autoseg.plans import Plans, Target
from planners.default import DefaultPlanner
from planners.explain import explain, prepared_bytes, stage_cost, summary
from planners.options import GIBIBYTE, PlanningOptions

FINGERPRINT = Fingerprint.from_summary([[1.0, 0.77, 0.77]] * 20, [[432, 512, 512]] * 20, labels=3)


def plan(device: str = "cuda") -> Plans:
    return DefaultPlanner().plan(FINGERPRINT, None, PlanningOptions(target=Target(device, 8 * GIBIBYTE)))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_decision_has_a_rule_and_a_rejected_alternative(device: str) -> None:
    for decision in plan(device).decisions:
        assert len(decision.rule) > 10, decision.what
        assert len(decision.rejected) > 10, decision.what
        assert decision.numbers or decision.what.endswith("training"), decision.what


def test_decisions_tell_what_the_plans_hold() -> None:
    plans = plan()
    told = {decision.what: decision.value for decision in plans.decisions}
    for name in ("2d", "3d_fullres", "3d_lowres"):
        stage = plans.stages[name]
        assert told[f"{name}.patch_size"] == list(stage.patch_size)
        assert told[f"{name}.batch_size"] == stage.batch_size
        assert told[f"{name}.batch_dice"] == stage.batch_dice
        assert told[f"{name}.widths"] == [level.encoder_widths[-1] for level in stage.network.levels]
    assert told["3d_lowres"] is True
    assert told["transpose"] == list(plans.transpose)


def test_the_explanation_names_every_stage_and_decision() -> None:
    plans = plan("cpu")
    text = explain(plans, FINGERPRINT, 6e-12)
    assert all(name in text for name in plans.stages)
    assert all(decision.what in text for decision in plans.decisions if len(decision.what) <= 24)
    assert re.search(r"3d_fullres .*(MiB|GiB).*(MiB|GiB).* iterations, \d+", text)


def test_without_a_speed_no_time_is_told() -> None:
    assert "iterations," not in summary(plan(), FINGERPRINT, None)


def test_disk_is_voxels_times_bytes() -> None:
    stage = plan().stages["3d_fullres"]
    assert prepared_bytes(stage, plan(), FINGERPRINT) == 20 * 432 * 512 * 512 * 6
    flat = replace(stage, network=replace(stage.network, dimensions=2), spacing_mm=(1.54, 1.54))
    assert prepared_bytes(flat, plan(), FINGERPRINT) == 20 * 432 * 256 * 256 * 6


def test_the_reference_plan_takes_about_eight_gigabytes() -> None:
    cost = stage_cost(plan().stages["3d_fullres"], plan(), FINGERPRINT, None)
    assert cost.memory_bytes / 1e9 == pytest.approx(8, abs=0.6)
