"""The standard way: one stage, fold by fold, then the postprocessing that the held-out cases ask for."""

from __future__ import annotations

import logging

from autoseg.errors import OptionError
from trainers.finishing import finish
from trainers.job import Job, TrainingResult
from trainers.stage import StageTraining

LOGGER = logging.getLogger(__name__)


class StandardTrainer:
    """Trains a configuration of a single stage."""

    def __init__(self, job: Job) -> None:
        if len(job.stages) != 1:
            raise OptionError(f"{job.configuration} has several stages.", "Train it with --trainer cascade.")
        self.job = job

    def trainings(self) -> dict[str, int]:
        """How many trainings run() takes, by stage; those that are finished are counted too."""
        return {stage.name: self.job.fold_count for stage in self.job.stages}

    def run(self) -> TrainingResult:
        """Train what is not finished yet."""
        self.job.begin()
        training = StageTraining(self.job, self.job.stages[0])
        LOGGER.info(training.announcement(training.left(self.job.fold_names)))
        dice = {name: training.run(name).mean_dice for name in self.job.fold_names}
        return finish(self.job, dice)
