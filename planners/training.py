"""How a stage is trained by default."""

from __future__ import annotations

from dataclasses import replace

from autoseg.plans import TrainingPlan
from planners.options import PlanningOptions
from planners.rules import budget
from planners.stages import StageDraft


def training_plan(draft: StageDraft, options: PlanningOptions) -> TrainingPlan:
    """The peer's schedule on a GPU, one that learns in minutes on a CPU; with what the user or a recipe changes."""
    return options.overrides.training.applied_to(_by_rule(draft, options.target.budget_seconds))


def _by_rule(draft: StageDraft, budget_seconds: float | None) -> TrainingPlan:
    if draft.choice is None:
        return TrainingPlan(budget_seconds=budget_seconds)
    per_epoch = budget.iterations_per_epoch(draft.choice.iterations)
    return replace(
        budget.CPU_TRAINING,
        epochs=max(1, draft.choice.iterations // per_epoch),
        iterations_per_epoch=per_epoch,
        budget_seconds=budget_seconds or budget.DEFAULT_BUDGET_SECONDS,
    )
