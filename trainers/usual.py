"""The trainer that suits a configuration's stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoseg.plans import StagePlan
from autoseg.registry import resolve
from trainers import TRAINERS
from trainers.job import Job


def usual_trainer_name(stages: Sequence[StagePlan]) -> str:
    """standard, cascade or two_stage."""
    if any(stage.region for stage in stages):
        return "two_stage"
    return "cascade" if len(stages) > 1 else "standard"


def usual_trainer(job: Job) -> Any:
    """The trainer of a job, made."""
    return resolve("trainer", TRAINERS, usual_trainer_name(job.stages))(job)
