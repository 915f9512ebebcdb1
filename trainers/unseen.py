"""Predictions of a stage for cases that it has not seen, for the stage after it to learn from.

Every case that a later stage learns from must come with labels predicted by a network that was not trained on it, as in
use. The folds that are asked for give such labels to their held-out cases. Where they do not cover the dataset, one
more network of the earlier stage is trained on the cases that they do cover, and predicts the rest; where these are
few, as with one fold of five, two networks predict half of the rest each, and learn from all other cases.
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
FEWEST_COVERED = 0.375
"""Of the cases, for one network to learn from these alone and predict the rest: two folds of five, not one of three."""


@dataclass(frozen=True)
class Unseen:
    """Which networks of an earlier stage give every case labels."""

    job: Job

    @cached_property
    def folds(self) -> tuple[str, ...]:
        """Those that the job names; every one where it names none but all cases."""
        if self.job.earlier_folds:
            return self.job.earlier_folds
        if len(self.job.folds) < 2:
            raise OptionError(
                f"{self.job.configuration} needs at least two folds.", "Give the splits file two folds or more."
            )
        names = tuple(name for name in self.job.fold_names if name != ALL_CASES)
        return names or tuple(str(number) for number in range(len(self.job.folds)))

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The cases that no fold of the earlier stages holds out, by the folder of the network that predicts them.

        It learns from all other cases.
        """
        every = [case.id for case in self.job.dataset.cases]
        covered = {case for name in self.folds for case in self.job.fold(name).validation}
        rest = tuple(case for case in every if case not in covered)
        name = "_".join([REST, *sorted(self.folds)])
        if len(covered) >= FEWEST_COVERED * len(every):
            return {name: rest} if rest else {}
        second = self._every_other_fold() & set(rest)
        halves = [tuple(case for case in rest if (case in second) == wanted) for wanted in (False, True)]
        if not all(halves):
            return {name: rest}
        return {f"{name}_half_{number}": half for number, half in enumerate(halves, 1)}

    def _every_other_fold(self) -> set[str]:
        """The held-out cases of every second one of the other folds: cases of a patient stay together in a fold."""
        others = [fold for number, fold in enumerate(self.job.folds) if str(number) not in self.folds]
        return {case for fold in others[1::2] for case in fold.validation}

    @property
    def folder_names(self) -> tuple[str, ...]:
        """The folders of an earlier stage's networks, below the stage's."""
        every = (ALL_CASES,) if ALL_CASES in self.job.fold_names else ()
        return (*(f"fold_{name}" for name in (*self.folds, *every)), *self.parts)

    def left(self, training: StageTraining) -> int:
        """How many networks of an earlier stage are not trained yet."""
        place = self.job.stage_folder(training.stage)
        return sum(not (place / name / WEIGHTS).exists() for name in self.folder_names)

    def predict(self, training: StageTraining) -> Iterator[Validation]:
        """Train an earlier stage so that every case is among the validation cases of one network, and predict them.

        Gives the networks with their predictions, one after the other, once all are trained. The network of all cases
        is trained where it is asked for, and gives none.
        """
        job, every = self.job, sorted(case.id for case in self.job.dataset.cases)
        if added := [*(f"fold_{name}" for name in self.folds if name not in job.fold_names), *self.parts]:
            LOGGER.info(
                "%s: %s too, because every case needs labels by a network that has not seen it.",
                training.stage.network_name,
                ", ".join(added),
            )
        validations = [training.run_cases(job.fold(name), training.folder(name)) for name in self.folds]
        for name, predicted in self.parts.items():
            others = tuple(case for case in every if case not in predicted)
            validations.append(training.run_cases(Fold(others, predicted), job.stage_folder(training.stage) / name))
        if ALL_CASES in job.fold_names:
            training.run(ALL_CASES)
        for validation in validations:
            validation.run()
            yield validation
