"""Predicting the held-out cases of a training whole, as a user would, and scoring them on their own grids."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autoseg.dataset import Dataset
from autoseg.evaluation import ClassScores, evaluate_case, summarize
from autoseg.inference.backends.probe import Calibrated
from autoseg.inference.predictor import PredictionOptions, StagePredictor
from autoseg.io import Volume, read_labels
from autoseg.preprocessing.restore import LabelRestorer

if TYPE_CHECKING:
    from torch import nn

    from trainers.fitting import FittingTask


@dataclass(frozen=True)
class WholeCases:
    """The held-out cases of a task, to be predicted on a device. Called with a network, gives its Dice by class."""

    task: FittingTask
    device: str

    def __call__(self, network: nn.Module) -> dict[str, float | None]:
        """The mean over cases; None for a class that has no Dice in any. The network is left as it is."""
        predictor = self.predictor(copy.deepcopy(network), backend="torch")
        dataset, names = self.task.job.dataset, self.task.cases.validation
        cases = {name: score_case(dataset, name, self.predict(predictor, name)) for name in names}
        return {name: found.means["dice"].mean for name, found in summarize(cases).classes.items()}

    def predictor(
        self, network: nn.Module, *, backend: str = "auto", int8: Sequence[Calibrated] = ()
    ) -> StagePredictor:
        """A network, ready to predict the prepared cases of its stage.

        backend: torch needs no time to get ready. int8: its form in int8, which then computes.
        """
        job, precision = self.task.job, "int8" if int8 else "auto"
        options = PredictionOptions(device="cpu" if int8 else self.device, backend=backend, precision=precision)
        count, labels = len(self.task.cases.validation), job.dataset.labels
        return StagePredictor([network], job.plans, self.task.stage, labels, options, volumes=count, int8=int8)

    def predict(self, predictor: StagePredictor, case_id: str) -> Volume:
        """The labels of a prepared case on its own grid."""
        store, previous = self.task.store, self.task.previous
        record, image = store.record(case_id), np.asarray(store.image(case_id))
        restorer = LabelRestorer(record, self.task.job.dataset.labels, order=predictor.order(image.shape[1:]))
        predictor.stream(image, restorer, None if previous is None else np.asarray(previous.read(case_id)))
        return Volume(restorer.restored, record.geometry)


def score_case(dataset: Dataset, case_id: str, predicted: Volume) -> dict[str, ClassScores]:
    """Scores of a case on its own grid, without surfaces."""
    case = dataset.case(case_id)
    assert case.label is not None
    reference = read_labels(case.label)
    return evaluate_case(
        predicted.array,
        reference.array,
        dataset.labels,
        reference.geometry,
        not_contoured=case.not_contoured,
        surface=False,
    )
