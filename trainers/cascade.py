"""The cascade: each stage is guided by the stage before it, through labels of cases that stage has not seen."""

from __future__ import annotations

import logging

from autoseg.errors import OptionError
from autoseg.files import checksum
from autoseg.inference.chain import previous_labels_on_grid
from autoseg.io import read_labels
from autoseg.plans import StagePlan
from autoseg.preprocessing.store import PredictedLabels
from trainers.finishing import finish
from trainers.job import Job, TrainingResult
from trainers.stage import StageTraining
from trainers.unseen import Unseen
from trainers.validating import Validation

LOGGER = logging.getLogger(__name__)


class CascadeTrainer:
    """Trains all stages of a configuration in order; has a StageTraining for each."""

    def __init__(self, job: Job) -> None:
        if len(job.stages) < 2:
            raise OptionError(f"{job.configuration} has one stage.", "Train it with --trainer standard.")
        self.job = job
        self.unseen = Unseen(job)

    def trainings(self) -> dict[str, int]:
        """How many trainings run() takes, by stage; those that are finished are counted too."""
        *earlier, last = self.job.stages
        return {stage.name: len(self.unseen.folder_names) for stage in earlier} | {last.name: self.job.fold_count}

    def run(self) -> TrainingResult:
        """Train what is not finished yet, stage by stage."""
        self.job.begin()
        self._announce()
        previous = None
        for stage, following in zip(self.job.stages, self.job.stages[1:], strict=False):
            previous = self._predict_unseen(StageTraining(self.job, stage, previous), following)
        last = StageTraining(self.job, self.job.stages[-1], previous)
        dice = {name: last.run(name).mean_dice for name in self.job.fold_names}
        return finish(self.job, dice)

    def _announce(self) -> None:
        """Say how long every stage will take, before the first begins."""
        *earlier, last = self.job.stages
        for stage in earlier:
            training = StageTraining(self.job, stage)
            LOGGER.info(training.announcement(self.unseen.left(training)))
        training = StageTraining(self.job, last)
        LOGGER.info(training.announcement(training.left(self.job.fold_names)))

    def _predict_unseen(self, training: StageTraining, following: StagePlan) -> PredictedLabels:
        """Train a stage so that every case gets labels from a network that has not seen it, on the next grid."""
        labels = PredictedLabels(self.job.stage_folder(training.stage) / f"unseen_on_{following.grid}")
        for validation in self.unseen.predict(training):
            self._put_on_grid(validation, labels, following)
        return labels

    def _put_on_grid(self, validation: Validation, labels: PredictedLabels, following: StagePlan) -> None:
        store, network = self.job.prepared(following), checksum(validation.task.model_file)
        for case_id in validation.task.cases.validation:
            if labels.made_by(case_id) != network:
                predicted = read_labels(validation.prediction_file(case_id))
                on_grid = previous_labels_on_grid(predicted, store.record(case_id))
                labels.write(case_id, on_grid, made_by=network)
