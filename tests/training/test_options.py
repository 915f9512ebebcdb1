"""Options of a run: contradictions are refused, the plan fills the gaps."""

from __future__ import annotations

import pytest

from autoseg.errors import OptionError
from autoseg.plans import TrainingPlan
from autoseg.training.changes import TrainingChanges
from autoseg.training.options import TrainingOptions, settle


def test_budget_and_epochs_contradict() -> None:
    with pytest.raises(OptionError, match="--budget and --epochs contradict"):
        TrainingOptions(budget_seconds=60.0, epochs=3)


@pytest.mark.parametrize(("name", "flag"), [("epochs", "--epochs"), ("patience", "--patience")])
def test_positive_numbers_only(name: str, flag: str) -> None:
    with pytest.raises(OptionError, match=f"{flag} must be positive"):
        TrainingOptions(**{name: 0})


def test_the_plan_fills_the_gaps() -> None:
    plan = TrainingPlan(optimizer="adamw", learning_rate=5e-3, budget_seconds=3600.0)
    settings = settle(plan, TrainingOptions(changes=TrainingChanges(loss="ce")), precision="fp32", device="cpu")
    assert (settings.optimizer, settings.learning_rate, settings.loss) == ("adamw", 5e-3, "ce")
    assert (settings.budget_seconds, settings.epochs) == (3600.0, None)


def test_epochs_replace_the_budget_of_the_plan() -> None:
    plan = TrainingPlan(budget_seconds=3600.0)
    settings = settle(plan, TrainingOptions(epochs=3), precision="fp32", device="cpu")
    assert (settings.budget_seconds, settings.epochs) == (None, 3)


def test_a_budget_replaces_the_epochs_of_the_plan() -> None:
    settings = settle(TrainingPlan(), TrainingOptions(budget_seconds=60.0), precision="fp32", device="cpu")
    assert (settings.budget_seconds, settings.epochs) == (60.0, None)


def test_trainings_that_share_a_stage_have_a_part_of_its_budget() -> None:
    plan = TrainingPlan(budget_seconds=9.0, budget_share=0.25)
    settings = settle(plan, TrainingOptions(budget_seconds=60.0), precision="fp32", device="cpu")
    assert settings.budget_seconds == 15.0
    assert settle(plan, TrainingOptions(), precision="fp32", device="cpu").budget_seconds == 9.0


def test_no_augmentation_is_not_the_default() -> None:
    settings = settle(
        TrainingPlan(), TrainingOptions(changes=TrainingChanges(augmentation=0.0)), precision="fp32", device="cpu"
    )
    assert settings.augmentation == 0.0


@pytest.mark.parametrize(
    ("optimizer", "rate", "expected"),
    [(None, None, 0.02), ("muon", None, 0.02), ("adamw", None, 5e-3), ("sgd", None, 1e-2), ("sgd", 0.3, 0.3)],
)
def test_another_optimizer_comes_with_its_own_rate(optimizer: str | None, rate: float | None, expected: float) -> None:
    plan = TrainingPlan(optimizer="muon", learning_rate=0.02)
    options = TrainingOptions(changes=TrainingChanges(optimizer=optimizer, learning_rate=rate))
    assert settle(plan, options, precision="fp32", device="cpu").learning_rate == expected
