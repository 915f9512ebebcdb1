"""The trainings of a comparison, and the time that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.cli.variants import Variant
from autoseg.durations import duration
from autoseg.plans import Plans

TOTAL_TOLERANCE = 0.01
"""By how much the trainings of a variant may miss the time that they have together, as a share of it."""


@dataclass(frozen=True)
class Run:
    """A training of a variant with a seed."""

    variant: Variant
    seed: int
    plans: Plans
    trainer: Any

    @property
    def trainings(self) -> int:
        """How many, those that are finished included."""
        return sum(self.trainer.trainings().values())

    def told(self, total: float) -> str:
        """How many trainings share a time, as a phrase."""
        count = self.trainings
        return f"{count} training{'s' if count > 1 else ''} in {duration(total)} together"

    @property
    def seconds(self) -> float | None:
        """Of all trainings together; None where epochs decide and not the time."""
        job = self.trainer.job
        budgets = [
            (count, job.plans.stages[name].training.budget_seconds) for name, count in self.trainer.trainings().items()
        ]
        if job.options.epochs is not None or not all(budget for _, budget in budgets):
            return None
        return sum(count * (budget or 0.0) for count, budget in budgets)


def is_near(seconds: float | None, total: float) -> bool:
    """Whether trainings of so many seconds, None for unknown, take the total."""
    return seconds is not None and abs(seconds / total - 1) <= TOTAL_TOLERANCE


def announcement(runs: Sequence[Run]) -> str:
    """How long all will take, as far as that is known beforehand; finished trainings are counted too."""
    seconds = [run.seconds for run in runs]
    text = f"{len(runs)} models, {sum(run.trainings for run in runs)} trainings"
    if None in seconds:
        return f"{text}; their time follows."
    return f"{text}, {duration(sum(each or 0.0 for each in seconds))} in all, and then validation."
