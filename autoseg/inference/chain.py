"""The stages of a configuration, one after the other, on a whole volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.air import Tissue
from autoseg.geometry import Geometry
from autoseg.inference.predictor import StagePredictor
from autoseg.inference.sliding_window import EmptyWindows
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.plans import Plans
from autoseg.preprocessing.case import CaseRecord, PreparedCase, prepare
from autoseg.preprocessing.region import RegionCutter
from autoseg.preprocessing.resampling import resample_labels
from autoseg.preprocessing.restore import LabelRestorer, ProbabilityRestorer, Together

Progress = Callable[[float], None]
SURE_LOGIT = 10.0
"""How surely a window that is left out is background; its classes have the opposite logit."""


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """A volume as every stage takes it; whoever gave the volume does not need it any more.

    cases: one per stage. tissue: where it is, if the plans leave out windows of air. cutter: holds the volume itself
    for stages that look at regions of it.
    """

    geometry: Geometry
    cases: tuple[PreparedCase, ...]
    tissue: Tissue | None
    cutter: RegionCutter | None = None


@dataclass(frozen=True, eq=False)
class ChainOutput:
    """What a stage says, on the volume's own grid; None where it was not asked for.

    labels: (Z, Y, X) int16. probabilities: (K, Z, Y, X) float32: softmax over exclusive labels, a sigmoid per region.
    not_found: organs that were looked for one by one and are not in the answer, by name, with the reason. missed: those
    that were not looked for where a locator said, by name, with the reason and what became of them.
    """

    labels: np.ndarray | None
    probabilities: np.ndarray | None
    not_found: dict[str, str] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What the last stage is asked for. in_file: whether sums of logits are held in a temporary file."""

    labels: bool = True
    probabilities: bool = False
    in_file: bool = False


class Chain:
    """Predicts a volume stage by stage; the labels of a stage reach the next one through the volume's own grid."""

    def __init__(self, predictors: Sequence[StagePredictor], plans: Plans, labels: Labels) -> None:
        self.predictors = tuple(predictors)
        self.plans = plans
        self.definition = labels

    @property
    def every_predictor(self) -> tuple[StagePredictor, ...]:
        """One per stage of the configuration, in order."""
        return self.predictors

    def prepare(self, volume: Volume, *, case_id: str = "case") -> PreparedVolume:
        """A volume (C, Z, Y, X) for every stage."""
        stages = [predictor.stage for predictor in self.predictors]
        cases = tuple(prepare(volume, None, self.plans, stage, case_id=case_id) for stage in stages)
        return PreparedVolume(volume.geometry, cases, self._tissue(volume, cases[0].record))

    def run(
        self, prepared: PreparedVolume, wanted: Wanted | None = None, *, progress: Progress | None = None
    ) -> ChainOutput:
        """Run every stage. wanted: by default the labels. progress: called with the fraction that is done, 0 to 1."""
        wanted = wanted or Wanted()
        found: dict[str, np.ndarray] = {}
        output = ChainOutput(None, None)
        for number, predictor in enumerate(self.predictors):
            record = prepared.cases[number].record
            previous = None
            if predictor.stage.previous_stage is not None:
                earlier = Volume(found.pop(predictor.stage.previous_stage), prepared.geometry)
                previous = previous_labels_on_grid(earlier, record)
                del earlier
            last = number + 1 == len(self.predictors)
            report = None if progress is None else _part(progress, number, len(self.predictors))
            asked = wanted if last else Wanted(in_file=wanted.in_file)
            output = self._run_stage(number, prepared, previous, asked, report)
            if output.labels is not None and not last:
                found[predictor.stage.name] = output.labels
        return output

    def _run_stage(
        self,
        number: int,
        prepared: PreparedVolume,
        previous: np.ndarray | None,
        wanted: Wanted,
        progress: Callable[[int, int], None] | None,
    ) -> ChainOutput:
        """One stage. previous: (z, y, x) labels of the stage before, on this one's grid."""
        predictor, case = self.predictors[number], prepared.cases[number]
        order = predictor.order(case.image.shape[1:])
        labels = LabelRestorer(case.record, self.definition, order=order) if wanted.labels else None
        kept = ProbabilityRestorer(case.record, self.definition, order=order) if wanted.probabilities else None
        predictor.stream(
            case.image,
            Together([restorer for restorer in (labels, kept) if restorer is not None]),
            previous,
            in_file=wanted.in_file,
            empty=self._empty_windows(prepared.tissue, case.record),
            progress=progress,
        )
        return ChainOutput(labels.restored if labels else None, kept.restored if kept else None)

    def _tissue(self, volume: Volume, record: CaseRecord) -> Tissue | None:
        rule = self.plans.air
        if rule is None:
            return None
        channel = volume.array[rule.channel].transpose(record.transpose)[record.crop.slices]
        return Tissue.of(channel, record.source_spacing_mm, rule)

    def _empty_windows(self, tissue: Tissue | None, record: CaseRecord) -> EmptyWindows | None:
        if tissue is None:
            return None
        background = () if self.definition.has_regions else (SURE_LOGIT,)
        logits = (*background, *(-SURE_LOGIT,) * len(self.definition.classes))
        return EmptyWindows(lambda where: not tissue.is_near(where, record.prepared_shape), logits)


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
