"""How a stage is trained by default."""

from __future__ import annotations

from dataclasses import replace

from autoseg.plans import TrainingPlan
from planners.options import PlanningOptions
from planners.rules import budget
from planners.stages import StageDraft


def training_plan(draft: StageDraft, options: PlanningOptions, *, share: float = 1.0) -> TrainingPlan:
    """The peer's schedule on a GPU, one that learns in minutes on a CPU; with what the user or a recipe changes.

    share: of the budget per fold and stage that the stage was drafted for.
    """
    return options.overrides.training.applied_to(_by_rule(draft, options.budget_seconds, share))


def _by_rule(draft: StageDraft, seconds: float | None, share: float) -> TrainingPlan:
    budget_seconds = None if seconds is None else seconds * share
    if draft.choice is None:
        return TrainingPlan(budget_seconds=budget_seconds, budget_share=share)
    per_epoch = budget.iterations_per_epoch(draft.choice.iterations)
    return replace(
        budget.CPU_TRAINING,
        epochs=max(1, draft.choice.iterations // per_epoch),
        iterations_per_epoch=per_epoch,
        budget_seconds=budget_seconds,
        budget_share=share,
    )
