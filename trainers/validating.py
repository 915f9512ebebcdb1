"""The held-out predictions of a finished network, on disk, and their scores."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.dataset import Dataset
from autoseg.durations import duration
from autoseg.evaluation import ClassScores, Summary, summarize
from autoseg.files import from_json, read_json, write_json
from autoseg.inference.calibration import find_int8
from autoseg.inference.model_files import HELD_OUT_SECONDS, held_out_seconds
from autoseg.inference.predictor import StagePredictor
from autoseg.io import Volume, read_labels, write_labels
from autoseg.networks.storage import load_network
from autoseg.training.options import TrainingSettings
from trainers.fitting import FittingTask
from trainers.whole import WholeCases, score_case

LOGGER = logging.getLogger(__name__)
LONG_SECONDS = 300.0
"""Of a training, beside which measuring the engines of this machine takes little."""
EXPECTED_VOLUMES = 1000
"""That will be predicted with a network that took so long."""


@dataclass(frozen=True)
class HeldOut:
    """The held-out cases of a fold.

    title: for the progress report. folder: gets validation/, validation_seconds.json and summary.json.
    """

    dataset: Dataset
    title: str
    case_ids: tuple[str, ...]
    folder: Path

    def run(self, make_predict: Callable[[], Callable[[str], Volume]]) -> Summary:
        """Predict and score what is missing; a finished fold is read.

        make_predict: called when a case must be predicted, gives what makes labels of a case id on the case's own grid.
        summary.json is written last: while it is missing, the fold is not finished.
        """
        path = self.folder / "summary.json"
        if path.exists():
            return from_json(Summary, read_json(path), path)
        started = time.monotonic()
        summary = summarize(self._scores(make_predict))
        write_json(path, summary)
        if summary.mean_dice is not None:
            spent, count = duration(time.monotonic() - started), len(self.case_ids)
            LOGGER.info("%s: mean Dice %.3f over %d held-out cases, %s", self.title, summary.mean_dice, count, spent)
        return summary

    def _scores(self, make_predict: Callable[[], Callable[[str], Volume]]) -> dict[str, dict[str, ClassScores]]:
        from tqdm import tqdm

        scores, predict, seconds = {}, None, held_out_seconds(self.folder)
        for case_id in tqdm(self.case_ids, f"{self.title} held out", unit="case", disable=None):
            path = prediction_file(self.folder, case_id, self.dataset)
            if not path.exists():
                predict = predict or make_predict()
                started = time.monotonic()
                labels = predict(case_id)
                seconds[case_id] = round(time.monotonic() - started, 3)
                write_json(self.folder / HELD_OUT_SECONDS, seconds)
                write_labels(path, labels)
            scores[case_id] = score_case(self.dataset, case_id, read_labels(path))
        return scores


def prediction_file(folder: Path, case_id: str, dataset: Dataset) -> Path:
    """The predicted labels of a held-out case of a fold, on the case's own grid."""
    return folder / "validation" / f"{case_id}{dataset.file_ending}"


@dataclass(frozen=True)
class Validation:
    """The held-out predictions of one fitted network, and their scores."""

    task: FittingTask
    settings: TrainingSettings

    @property
    def whole(self) -> WholeCases:
        """What predicts."""
        return WholeCases(self.task, self.settings.device)

    def prediction_file(self, case_id: str) -> Path:
        """The predicted labels of a case, on the case's own grid."""
        return prediction_file(self.task.folder, case_id, self.task.job.dataset)

    def run(self) -> Summary:
        """Predict and score what is missing; a finished fold is read."""
        task = self.task
        held_out = HeldOut(task.job.dataset, task.title, task.cases.validation, task.folder)
        return held_out.run(lambda: partial(self.whole.predict, self.predictor()))

    def predictor(self) -> StagePredictor:
        """The finished network, ready to predict the prepared cases of its stage."""
        path, share = self.task.model_file, self.task.stage.training.budget_share
        further = further_volumes(self.settings, share=share)
        network = load_network(path, device=self.settings.device)
        return self.whole.predictor(network, further_volumes=further, int8=find_int8([path]))


def further_volumes(settings: TrainingSettings, *, share: float = 1.0) -> int:
    """How many volumes a finished network will predict besides its held-out cases.

    After a long training many, so that engines are measured even for few held-out cases: there is time, and who
    predicts one volume with this network finds the answer. share: that the network's budget is of one for several.
    """
    is_short = settings.budget_seconds is not None and settings.budget_seconds / share < LONG_SECONDS
    return 0 if is_short else EXPECTED_VOLUMES
