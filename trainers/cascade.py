"""The cascade: each stage is guided by the stage before it, through labels of cases that stage has not seen.

Every case that a later stage learns from must come with labels predicted by a network that was not trained on it, as in
use. The folds that are asked for give such labels to their held-out cases. Where they do not cover the dataset, one
more network of the earlier stage is trained on the cases that they do cover, and predicts the rest.
"""

from __future__ import annotations

import logging
from functools import cached_property

from autoseg.data.folds import Fold
from autoseg.errors import OptionError
from autoseg.files import checksum
from autoseg.inference.chain import previous_labels_on_grid
from autoseg.io import read_labels
from autoseg.plans import StagePlan
from autoseg.preprocessing.store import PredictedLabels
from trainers.finishing import finish
from trainers.job import ALL_CASES, REST, Job, TrainingResult
from trainers.stage import StageTraining
from trainers.validating import Validation

LOGGER = logging.getLogger(__name__)


class CascadeTrainer:
    """Trains all stages of a configuration in order; has a StageTraining for each."""

    def __init__(self, job: Job) -> None:
        if len(job.stages) < 2:
            raise OptionError(f"{job.configuration} has one stage.", "Train it with --trainer standard.")
        self.job = job

    def trainings(self) -> int:
        """How many trainings run() takes, at most: two folds and the rest of the cases for each earlier stage."""
        folds = self.job.fold_count
        return (len(self.job.stages) - 1) * (max(2, folds) + 1) + folds

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
        runs = len(self._earlier_folds) + bool(self._rest()) + (ALL_CASES in self.job.fold_names)
        for stage in earlier:
            LOGGER.info(StageTraining(self.job, stage).announcement(runs))
        LOGGER.info(StageTraining(self.job, last).announcement(len(self.job.fold_names)))

    def _rest(self) -> tuple[str, ...]:
        """The cases that no fold of the earlier stages holds out."""
        covered = {case for name in self._earlier_folds for case in self.job.fold(name).validation}
        return tuple(case.id for case in self.job.dataset.cases if case.id not in covered)

    def _predict_unseen(self, training: StageTraining, following: StagePlan) -> PredictedLabels:
        """Train a stage so that every case gets labels from a network that has not seen it, on the next grid."""
        names, rest = self._earlier_folds, self._rest()
        validations = [training.run_cases(self.job.fold(name), training.folder(name)) for name in names]
        if rest:
            folder = self.job.stage_folder(training.stage) / "_".join([REST, *sorted(names)])
            covered = tuple(sorted(case.id for case in self.job.dataset.cases if case.id not in rest))
            validations.append(training.run_cases(Fold(covered, rest), folder))
        if ALL_CASES in self.job.fold_names:
            training.run(ALL_CASES)
        labels = PredictedLabels(self.job.stage_folder(training.stage) / f"unseen_on_{following.grid}")
        for validation in validations:
            validation.run()
            self._put_on_grid(validation, labels, following)
        return labels

    @cached_property
    def _earlier_folds(self) -> tuple[str, ...]:
        """At least two folds of the earlier stages: a single one leaves too few cases to learn the rest from."""
        names = tuple(name for name in self.job.fold_names if name != ALL_CASES)
        if len(names) >= 2:
            return names
        if len(self.job.folds) < 2:
            raise OptionError("A cascade needs at least two folds.", "Give the splits file two folds or more.")
        if not names:
            return tuple(str(number) for number in range(len(self.job.folds)))
        following = str((int(names[0]) + 1) % len(self.job.folds))
        LOGGER.info("A cascade needs two folds of its earlier stages: fold %s of them is trained too.", following)
        return (*names, following)

    def _put_on_grid(self, validation: Validation, labels: PredictedLabels, following: StagePlan) -> None:
        store, network = self.job.prepared(following), checksum(validation.task.model_file)
        for case_id in validation.task.cases.validation:
            if labels.made_by(case_id) != network:
                predicted = read_labels(validation.prediction_file(case_id))
                on_grid = previous_labels_on_grid(predicted, store.record(case_id))
                labels.write(case_id, on_grid, made_by=network)
