"""Predictions of a stage for cases that it has not seen, for the stage after it to learn from.

Every case that a later stage learns from must come with labels predicted by a network that was not trained on it, as in
use. The folds that are asked for give such labels to their held-out cases. Where they do not cover the dataset, one
more network of the earlier stage is trained on the cases that they do cover, and predicts the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from autoseg.data.folds import Fold
from autoseg.errors import OptionError
from trainers.job import ALL_CASES, Job
from trainers.stage import StageTraining
from trainers.validating import Validation

LOGGER = logging.getLogger(__name__)
REST = "rest"


def predict_unseen(training: StageTraining) -> Iterator[Validation]:
    """Train a stage so that every case is among the validation cases of one network, and predict them.

    Gives the networks with their predictions, one after the other, once all are trained. The network of all cases is
    trained where it is asked for, and gives none.
    """
    job = training.job
    names = _fold_names(job)
    held_out = [job.fold(name).validation for name in names]
    covered = {case for cases in held_out for case in cases}
    rest = tuple(case.id for case in job.dataset.cases if case.id not in covered)
    LOGGER.info(training.announcement(len(names) + bool(rest)))
    validations = [training.run_cases(job.fold(name), training.folder(name)) for name in names]
    if rest:
        cases = Fold(tuple(sorted(covered)), rest)
        validations.append(training.run_cases(cases, training.folder(REST).with_name(REST)))
    if ALL_CASES in job.fold_names:
        training.run(ALL_CASES)
    for validation in validations:
        validation.run()
        yield validation


def _fold_names(job: Job) -> tuple[str, ...]:
    """At least two folds of the earlier stages: a single one leaves too few cases to learn the rest from."""
    names = tuple(name for name in job.fold_names if name != ALL_CASES)
    if len(names) >= 2:
        return names
    if len(job.folds) < 2:
        raise OptionError(f"{job.configuration} needs at least two folds.", "Give the splits file two folds or more.")
    if not names:
        return tuple(str(number) for number in range(len(job.folds)))
    following = str((int(names[0]) + 1) % len(job.folds))
    LOGGER.info(
        "%s needs two folds of its earlier stages: fold %s of them is trained too.", job.configuration, following
    )
    return (*names, following)
