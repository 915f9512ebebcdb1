"""What somebody changes in the plan's training: ranges, names, and that nothing else changes."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from autoseg.errors import OptionError
from autoseg.plans import TrainingPlan
from autoseg.training.changes import UNCHANGED, TrainingChanges
from autoseg.training.options import TrainingOptions, settle

EVERY_CHANGE = TrainingChanges(
    "novograd", 0.004, "cosine_restarts", 2, 4, "focal", 0.5, 5.0, (0.9, 1.1), 8, 0.25, 4, 10, True
)


def test_every_change_is_a_field_of_the_plan() -> None:
    assert {field.name for field in fields(TrainingChanges)} <= {field.name for field in fields(TrainingPlan)}


def test_only_what_is_given_changes() -> None:
    plan = TrainingPlan(learning_rate=0.5)
    assert UNCHANGED.applied_to(plan) == plan
    assert TrainingChanges(loss="ce", shift_voxels=0).applied_to(plan) == replace(plan, loss="ce")


def test_every_change_reaches_the_settings_of_a_run() -> None:
    settings = settle(TrainingPlan(), TrainingOptions(changes=EVERY_CHANGE), precision="fp32", device="cpu")
    wanted = {name: value for name, value in EVERY_CHANGE.given.items() if name != "cached"}
    assert len(wanted) == len(fields(TrainingChanges)) - 1
    assert {name: getattr(settings, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "--lr must be positive"),
        ({"first_cycle_epochs": 0}, "--first-cycle must be at least 1"),
        ({"cycle_growth": 0}, "--cycle-growth must be at least 1"),
        ({"augmentation": -1.0}, "--augmentation must be at least 0"),
        ({"shift_voxels": -1}, "--shift must be at least 0"),
        ({"crops_per_case": 0}, "--crops-per-case must be at least 1"),
        ({"whole_validation_epochs": -1}, "--validate-whole must be at least 0"),
        ({"rotation_degrees": 181.0}, "--rotation must lie between 0 and 180"),
        ({"foreground_fraction": 1.5}, "--foreground-fraction must lie between 0 and 1"),
        ({"scales": (1.1, 0.9)}, "--scales must be two positive factors"),
        ({"scales": (1.1,)}, "--scales must be two positive factors"),
    ],
)
def test_what_lies_outside_its_range_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainingChanges(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"loss": "dice+mse"}, {"optimizer": "lion"}, {"schedule": "linear"}])
def test_unknown_names_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="There is no"):
        TrainingChanges(**change).check_names()  # type: ignore[arg-type]


def test_known_names_pass() -> None:
    EVERY_CHANGE.check_names()


@pytest.mark.parametrize("planned", [0, 100])
def test_an_optimiser_that_was_not_planned_is_warmed_up(planned: int) -> None:
    plan = TrainingPlan(optimizer="sgd", warmup_iterations=planned)
    changed = TrainingChanges(optimizer="muon").applied_to(plan)
    assert (changed.warmup_iterations, changed.learning_rate) == (20, 5e-3)
    assert TrainingChanges(optimizer="sgd", loss="ce").applied_to(plan).warmup_iterations == planned
    assert TrainingChanges(loss="ce").applied_to(plan).warmup_iterations == planned
