"""The stages of a configuration, one after the other, on a whole volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.inference.predictor import StagePredictor
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.plans import Plans
from autoseg.preprocessing.case import CaseRecord, prepare
from autoseg.preprocessing.resampling import resample_labels
from autoseg.preprocessing.restore import restore_labels, restore_probabilities

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class StageOutput:
    """What the last stage says about a volume: logits (K, z, y, x) on its own grid, and the way back."""

    logits: np.ndarray
    record: CaseRecord


class Chain:
    """Predicts a volume stage by stage; the labels of a stage reach the next one through the volume's own grid."""

    def __init__(self, predictors: Sequence[StagePredictor], plans: Plans, labels: Labels) -> None:
        self.predictors = tuple(predictors)
        self.plans = plans
        self.definition = labels

    def output(self, volume: Volume, *, case_id: str = "case", progress: Progress | None = None) -> StageOutput:
        """Run every stage. volume: (C, Z, Y, X). progress: called with the fraction that is done, 0 to 1."""
        found: dict[str, Volume] = {}
        for number, predictor in enumerate(self.predictors):
            stage = predictor.stage
            case = prepare(volume, None, self.plans, stage, case_id=case_id)
            previous = None
            if stage.previous_stage is not None:
                previous = previous_labels_on_grid(found[stage.previous_stage], case.record)
            report = None if progress is None else _part(progress, number, len(self.predictors))
            output = StageOutput(predictor.logits(case.image, previous, progress=report), case.record)
            if number + 1 < len(self.predictors):
                found[stage.name] = Volume(self.restored(output), volume.geometry)
        return output

    def labels(self, volume: Volume, *, case_id: str = "case", progress: Progress | None = None) -> np.ndarray:
        """(Z, Y, X) int16 label values on the volume's own grid."""
        return self.restored(self.output(volume, case_id=case_id, progress=progress))

    def restored(self, output: StageOutput) -> np.ndarray:
        """(Z, Y, X) int16 label values of an output."""
        return restore_labels(output.logits, output.record, self.definition)

    def probabilities(self, output: StageOutput) -> np.ndarray:
        """(K, Z, Y, X) float32 on the volume's own grid: softmax over exclusive labels, a sigmoid per region."""
        return restore_probabilities(output.logits, output.record, self.definition)


def previous_labels_on_grid(predicted: Volume, record: CaseRecord) -> np.ndarray:
    """The labels of the stage before on the grid of a prepared case, resampled as ground truth is.

    predicted: (Z, Y, X) label values on the volume's own grid, from restore_labels. record: of the case as prepared for
    the stage that takes them. Returns (z, y, x) int16 in plan order. Training and prediction both come through here.
    """
    cropped = predicted.array.transpose(record.transpose)[record.crop.slices]
    cropped = np.ascontiguousarray(cropped, dtype=np.int16)
    return resample_labels(cropped, record.prepared_shape, record.separate_axis)


def _part(progress: Progress, number: int, count: int) -> Callable[[int, int], None]:
    """Turn windows done of a stage into a fraction of the whole chain."""
    return lambda done, total: progress((number + done / total) / count)
