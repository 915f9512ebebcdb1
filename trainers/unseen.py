"""Predictions of a stage for cases that it has not seen, for the stage after it to learn from.

Every case that a later stage learns from must come with labels predicted by a network that was not trained on it, as in
use. The folds that are asked for give such labels to their held-out cases. Where they do not cover the dataset, one
more network of the earlier stage is trained on the cases that they do cover, and predicts the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from autoseg.data.folds import Fold
from autoseg.errors import OptionError
from autoseg.inference.model_files import WEIGHTS
from trainers.job import ALL_CASES, REST, Job
from trainers.stage import StageTraining
from trainers.validating import Validation

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unseen:
    """Which networks of an earlier stage give every case labels."""

    job: Job

    @cached_property
    def folds(self) -> tuple[str, ...]:
        """Those that the job names, else at least two: a single fold leaves too few cases to learn the rest from."""
        if self.job.earlier_folds:
            return self.job.earlier_folds
        names = tuple(name for name in self.job.fold_names if name != ALL_CASES)
        if len(names) >= 2:
            return names
        if len(self.job.folds) < 2:
            raise OptionError(
                f"{self.job.configuration} needs at least two folds.", "Give the splits file two folds or more."
            )
        if not names:
            return tuple(str(number) for number in range(len(self.job.folds)))
        return (*names, str((int(names[0]) + 1) % len(self.job.folds)))

    @property
    def rest(self) -> tuple[str, ...]:
        """The cases that no fold of the earlier stages holds out."""
        covered = {case for name in self.folds for case in self.job.fold(name).validation}
        return tuple(case.id for case in self.job.dataset.cases if case.id not in covered)

    @property
    def folder_names(self) -> tuple[str, ...]:
        """The folders of an earlier stage's networks, below the stage's."""
        rest = (self._rest_name,) if self.rest else ()
        every = (ALL_CASES,) if ALL_CASES in self.job.fold_names else ()
        return (*(f"fold_{name}" for name in (*self.folds, *every)), *rest)

    @property
    def _rest_name(self) -> str:
        return "_".join([REST, *sorted(self.folds)])

    def left(self, training: StageTraining) -> int:
        """How many networks of an earlier stage are not trained yet."""
        place = self.job.stage_folder(training.stage)
        return sum(not (place / name / WEIGHTS).exists() for name in self.folder_names)

    def predict(self, training: StageTraining) -> Iterator[Validation]:
        """Train an earlier stage so that every case is among the validation cases of one network, and predict them.

        Gives the networks with their predictions, one after the other, once all are trained. The network of all cases
        is trained where it is asked for, and gives none.
        """
        job, rest = self.job, self.rest
        if added := [name for name in self.folds if name not in job.fold_names]:
            LOGGER.info(
                "%s: fold %s too, because every case needs labels by a network that has not seen it.",
                training.stage.network_name,
                ", ".join(added),
            )
        validations = [training.run_cases(job.fold(name), training.folder(name)) for name in self.folds]
        if rest:
            covered = tuple(sorted(case.id for case in job.dataset.cases if case.id not in rest))
            folder = job.stage_folder(training.stage) / self._rest_name
            validations.append(training.run_cases(Fold(covered, rest), folder))
        if ALL_CASES in job.fold_names:
            training.run(ALL_CASES)
        for validation in validations:
            validation.run()
            yield validation
