"""One model, or several as one: the mean of their probabilities on the volume's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.errors import OptionError
from autoseg.inference.chain import Progress
from autoseg.inference.model import Model
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.postprocessing import Rule, apply_rules


@dataclass(frozen=True, eq=False)
class Prediction:
    """labels: (Z, Y, X). probabilities: (K, Z, Y, X) where they were asked for; both on the volume's own grid."""

    labels: Volume
    probabilities: Volume | None


class Ensemble:
    """Models that predict the same classes from the same channels.

    rules: the postprocessing that all of them share; what helps one alone was not measured on the mean.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        first = models[0]
        for other in models[1:]:
            if other.labels != first.labels or other.files.channel_names != first.files.channel_names:
                raise OptionError(
                    f"{first.files.folder.name} and {other.files.folder.name} differ in their labels or channels.",
                    "An ensemble needs models of one dataset.",
                )
        self.models = tuple(models)
        self.labels = first.labels
        self.rules = common_rules([model.rules for model in models])

    def predict(
        self,
        volume: Volume,
        *,
        case_id: str = "case",
        keep_probabilities: bool = False,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predict a volume (C, Z, Y, X). A single model's labels come from its logits, without probabilities."""
        if len(self.models) > 1:
            mean = self._mean_probabilities(volume, case_id, progress)
            labels = decode_probabilities(mean, self.labels)
            cleaned = apply_rules(labels, self.rules, self.labels, volume.geometry.voxel_volume_mm3)
            kept = Volume(mean, volume.geometry) if keep_probabilities else None
            return Prediction(Volume(cleaned, volume.geometry), kept)
        model = self.models[0]
        output = model.output(volume, case_id=case_id, progress=progress)
        kept = Volume(model.chain.probabilities(output), volume.geometry) if keep_probabilities else None
        return Prediction(model.labels_of(output, volume), kept)

    def _mean_probabilities(self, volume: Volume, case_id: str, progress: Progress | None) -> np.ndarray:
        """(K, Z, Y, X) float32; the arrays of at most two models are held at a time."""
        total: np.ndarray | None = None
        for number, model in enumerate(self.models):
            report = _part(progress, number, len(self.models)) if progress is not None else None
            found = model.chain.probabilities(model.output(volume, case_id=case_id, progress=report))
            total = found if total is None else np.add(total, found, out=total)
        assert total is not None
        return np.divide(total, len(self.models), out=total)


def common_rules(rules: Sequence[tuple[Rule, ...]]) -> tuple[Rule, ...]:
    """The rules that every model has, in the order of the first."""
    return tuple(rule for rule in rules[0] if all(rule in others for others in rules[1:]))


def decode_probabilities(probabilities: np.ndarray, labels: Labels) -> np.ndarray:
    """(K, ...) probabilities to (...) int16 label values: the likeliest, or every region above one half."""
    return labels.decode(probabilities - np.float32(0.5) if labels.has_regions else probabilities)


def _part(progress: Progress, number: int, count: int) -> Progress:
    return lambda fraction: progress((number + fraction) / count)
