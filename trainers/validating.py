"""Predicting the validation cases of a fold whole, as a user would, and scoring them on their own grids."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dataset import Case
from autoseg.evaluation import ClassScores, Summary, evaluate_case, summarize
from autoseg.files import from_json, read_json, write_json
from autoseg.inference.predictor import PredictionOptions, StagePredictor
from autoseg.io import Volume, read_labels, write_labels
from autoseg.networks.storage import load_network
from autoseg.preprocessing.restore import LabelRestorer
from autoseg.training.options import TrainingSettings
from autoseg.training.reporting import duration
from trainers.fitting import FittingTask

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """The held-out predictions of one fitted network, and their scores."""

    task: FittingTask
    settings: TrainingSettings

    @property
    def summary_file(self) -> Path:
        """Written last: while it is missing, the fold is not finished."""
        return self.task.folder / "summary.json"

    def prediction_file(self, case_id: str) -> Path:
        """The predicted labels of a case, on the case's own grid."""
        return self.task.folder / "validation" / f"{case_id}{self.task.job.dataset.file_ending}"

    def run(self) -> Summary:
        """Predict and score what is missing; a finished fold is read."""
        if self.summary_file.exists():
            return from_json(Summary, read_json(self.summary_file), self.summary_file)
        started = time.monotonic()
        summary = summarize(self._scores())
        write_json(self.summary_file, summary)
        if summary.mean_dice is not None:
            spent = duration(time.monotonic() - started)
            count = len(self.task.cases.validation)
            LOGGER.info(
                "%s: mean Dice %.3f over %d held-out cases, %s", self.task.title, summary.mean_dice, count, spent
            )
        return summary

    def _scores(self) -> dict[str, dict[str, ClassScores]]:
        from tqdm import tqdm

        scores, predictor = {}, None
        for case_id in tqdm(self.task.cases.validation, f"{self.task.title} held out", unit="case", disable=None):
            path = self.prediction_file(case_id)
            if not path.exists():
                predictor = predictor or self.predictor()
                write_labels(path, self.predict(predictor, case_id))
            scores[case_id] = self._score(case_id, path)
        return scores

    def predictor(self) -> StagePredictor:
        """The finished network, ready to predict the prepared cases of its stage."""
        job, options = self.task.job, PredictionOptions(device=self.settings.device)
        network = load_network(self.task.model_file, device=self.settings.device)
        count = len(self.task.cases.validation)
        return StagePredictor([network], job.plans, self.task.stage, job.dataset.labels, options, volumes=count)

    def predict(self, predictor: StagePredictor, case_id: str) -> Volume:
        """The labels of a prepared case on its own grid."""
        store, previous = self.task.store, self.task.previous
        record, image = store.record(case_id), np.asarray(store.image(case_id))
        restorer = LabelRestorer(record, self.task.job.dataset.labels, order=predictor.order(image.shape[1:]))
        predictor.stream(image, restorer, None if previous is None else np.asarray(previous.read(case_id)))
        return Volume(restorer.restored, record.geometry)

    def _score(self, case_id: str, path: Path) -> dict[str, ClassScores]:
        case: Case = self.task.job.dataset.case(case_id)
        assert case.label is not None
        reference = read_labels(case.label)
        return evaluate_case(
            read_labels(path).array,
            reference.array,
            self.task.job.dataset.labels,
            reference.geometry,
            not_contoured=case.not_contoured,
            surface=False,
        )
