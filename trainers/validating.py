"""The held-out predictions of a finished network, on disk, and their scores."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from autoseg.evaluation import ClassScores, Summary, summarize
from autoseg.files import from_json, read_json, write_json
from autoseg.inference.predictor import StagePredictor
from autoseg.io import read_labels, write_labels
from autoseg.networks.storage import load_network
from autoseg.training.options import TrainingSettings
from autoseg.training.reporting import duration
from trainers.fitting import FittingTask
from trainers.whole import WholeCases

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """The held-out predictions of one fitted network, and their scores."""

    task: FittingTask
    settings: TrainingSettings

    @property
    def whole(self) -> WholeCases:
        """What predicts and scores."""
        return WholeCases(self.task, self.settings.device)

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
                write_labels(path, self.whole.predict(predictor, case_id))
            scores[case_id] = self.whole.score(case_id, read_labels(path))
        return scores

    def predictor(self) -> StagePredictor:
        """The finished network, ready to predict the prepared cases of its stage."""
        return self.whole.predictor(load_network(self.task.model_file, device=self.settings.device))
