"""One model, or several as one: the mean of their probabilities on the volume's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.errors import OptionError
from autoseg.inference.chain import Chain, ChainOutput, PreparedVolume, Progress, Wanted
from autoseg.inference.cleaning import cleaned
from autoseg.inference.limit import Limit
from autoseg.inference.memory import Source
from autoseg.inference.merging import found_organs
from autoseg.inference.model import Model
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.postprocessing import common_rules


@dataclass(frozen=True, eq=False)
class Prediction:
    """labels: (Z, Y, X). probabilities: (K, Z, Y, X) where they were asked for; both on the volume's own grid.

    not_found, missed: organs that were looked for one by one, see ChainOutput.
    """

    labels: Volume
    probabilities: Volume | None
    not_found: dict[str, str] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PreparedInput:
    """A volume as every model takes it, and how it is to be predicted. volumes: one per model."""

    volumes: tuple[PreparedVolume, ...]
    wanted: Wanted


class Ensemble:
    """Models that predict the same classes from the same channels.

    rules: the postprocessing that all of them share; what helps one alone was not measured on the mean. limit: of the
    process's memory; None for what the models were loaded with.
    """

    def __init__(self, models: Sequence[Model], *, limit: Limit | None = None) -> None:
        first = models[0]
        for other in models[1:]:
            if other.labels != first.labels or other.files.channel_names != first.files.channel_names:
                raise OptionError(
                    f"{first.files.folder.name} and {other.files.folder.name} differ in their labels or channels.",
                    "An ensemble needs models of one dataset.",
                )
        self.models = tuple(models)
        self.labels = first.labels
        self.limit = limit
        self.rules = common_rules([model.rules for model in models])

    @property
    def chains(self) -> list[Chain]:
        """One per model."""
        return [model.chain for model in self.models]

    def wanted(self, *, keep_probabilities: bool = False) -> Wanted:
        """What each model is asked for: labels come from a single model's logits, else from the mean probabilities."""
        several = len(self.models) > 1
        return Wanted(labels=not several, probabilities=several or keep_probabilities)

    def predict(
        self,
        volume: Volume,
        *,
        case_id: str = "case",
        keep_probabilities: bool = False,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predict a volume (C, Z, Y, X)."""
        prepared = self.prepare(volume, case_id=case_id, keep_probabilities=keep_probabilities)
        return self.predict_prepared(prepared, keep_probabilities=keep_probabilities, progress=progress)

    def prepare(self, volume: Volume, *, case_id: str = "case", keep_probabilities: bool = False) -> PreparedInput:
        """A volume (C, Z, Y, X) for all models; it is not needed any more. ResourceError where memory is too short."""
        self.models[0].check_channels(volume)
        source = Source.of(volume)
        limit = self.limit or Limit.now(self.models[0].memory_bytes, self.chains, held_bytes=source.bytes)
        wanted = self.wanted(keep_probabilities=keep_probabilities)
        wanted = limit.wanted(self.chains, source, wanted, cleans=bool(self.rules))
        return PreparedInput(tuple(chain.prepare(volume, case_id=case_id) for chain in self.chains), wanted)

    def predict_prepared(
        self, prepared: PreparedInput, *, keep_probabilities: bool = False, progress: Progress | None = None
    ) -> Prediction:
        """Predict what was prepared with the same keep_probabilities."""
        geometry = prepared.volumes[0].geometry
        output = cleaned(self._output(prepared, progress), self.rules, self.chains, self.labels, geometry)
        labels, probabilities = output.labels, output.probabilities
        assert labels is not None
        kept = None if probabilities is None or not keep_probabilities else Volume(probabilities, geometry)
        return Prediction(Volume(labels, geometry), kept, output.not_found, output.missed)

    def _output(self, prepared: PreparedInput, progress: Progress | None) -> ChainOutput:
        """Labels, and probabilities where there are any; the arrays of at most two models are held at a time.

        An organ was not found where one model says why and none has it.
        """
        total: np.ndarray | None = None
        not_found: dict[str, str] = {}
        missed: dict[str, str] = {}
        for number, (chain, volume) in enumerate(zip(self.chains, prepared.volumes, strict=True)):
            report = _part(progress, number, len(self.models)) if progress is not None else None
            output = chain.run(volume, prepared.wanted, progress=report)
            if output.labels is not None:
                return output
            assert output.probabilities is not None
            not_found, missed = output.not_found | not_found, output.missed | missed
            total = output.probabilities if total is None else np.add(total, output.probabilities, out=total)
            del output
        assert total is not None
        np.divide(total, len(self.models), out=total)
        labels = decode_probabilities(total, self.labels)
        missing = set(not_found) - found_organs(labels, self.labels) if not_found else ()
        still = {name: not_found[name] for name in self.labels.names if name in missing}
        return ChainOutput(labels, total, still, missed)


def decode_probabilities(probabilities: np.ndarray, labels: Labels) -> np.ndarray:
    """(K, z, ...) probabilities to (z, ...) int16 label values: the likeliest, or every region above one half."""
    decoded = np.empty(probabilities.shape[1:], dtype=np.int16)
    for z, plane in enumerate(decoded):
        part = probabilities[:, z]
        plane[...] = labels.decode(part - np.float32(0.5) if labels.has_regions else part)
    return decoded


def _part(progress: Progress, number: int, count: int) -> Progress:
    return lambda fraction: progress((number + fraction) / count)
