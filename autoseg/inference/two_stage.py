"""Locate all organs, then segment each within its own region: windows outside the regions are never computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from autoseg.geometry import Geometry, Shape
from autoseg.inference.backends.choice import Choice
from autoseg.inference.backends.network_file import NetworkFile
from autoseg.inference.backends.probe import Calibrated
from autoseg.inference.chain import Chain, ChainOutput, PreparedVolume, Progress, Wanted
from autoseg.inference.merging import OrganProbability, found_organs, merged_labels, merged_probabilities
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import StagePredictor
from autoseg.io import Volume
from autoseg.labels import Labels, organ_labels
from autoseg.locating.boxes import locate
from autoseg.locating.experience import Experience
from autoseg.locating.regions import Region, largest_regions, plan_search
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.region import RegionCutter, is_mirrored, mirrored
from autoseg.preprocessing.restore import ProbabilityRestorer

if TYPE_CHECKING:
    from torch import nn

LOCATED_ONLY = "the locator found it, but its own network found nothing in its region"
EXPECTED_ONLY = "its own network found nothing where it was looked for"
FOUND_THERE = "its own network found it where it was looked for"
OVERRULED = "other organs are likelier everywhere in its region"
LOCATING = 0.5
"""The share of a prediction that locating counts for in reports of progress."""


class TwoStageChain(Chain):
    """Predicts a volume as a Chain of one stage, the locator, and then the organs one by one.

    organs: a predictor for every stage with a region. labels: exclusive ones.
    """

    def __init__(
        self,
        locator: StagePredictor,
        organs: Sequence[StagePredictor],
        plans: Plans,
        labels: Labels,
        experience: Experience,
    ) -> None:
        super().__init__([locator], plans, labels)
        self.experience = experience
        self.organs = {name: one for one in organs if one.stage.region for name in one.stage.region.organs}
        self._organ_predictors = tuple(organs)
        self._sizes_mm = organ_sizes_mm([one.stage for one in organs], plans)

    @property
    def every_predictor(self) -> tuple[StagePredictor, ...]:
        """The locator and the organs', one per stage."""
        return (*self.predictors, *self._organ_predictors)

    def prepare(self, volume: Volume, *, case_id: str = "case") -> PreparedVolume:
        """A volume (C, Z, Y, X) for the locator, and held for its regions."""
        cutter = RegionCutter(volume, self.plans, case_id=case_id)
        return replace(super().prepare(volume, case_id=case_id), cutter=cutter)

    def run(
        self, prepared: PreparedVolume, wanted: Wanted | None = None, *, progress: Progress | None = None
    ) -> ChainOutput:
        """Locate, then segment every organ. wanted: by default the labels."""
        wanted = wanted or Wanted()
        report = None if progress is None else partial(_first_part, progress)
        located = super().run(prepared, Wanted(in_file=wanted.in_file), progress=report).labels
        assert located is not None
        assert prepared.cutter is not None
        return self.segment(located, prepared.cutter, wanted, progress=progress)

    def segment(
        self, located: np.ndarray, cutter: RegionCutter, wanted: Wanted, *, progress: Progress | None = None
    ) -> ChainOutput:
        """Segment every organ around where it was located. located: (Z, Y, X) label values on the volume's grid."""
        geometry = cutter.geometry
        found = locate(located, self.definition, geometry, self._sizes_mm)
        most = self.largest_regions(geometry)
        search = plan_search(found, self.experience, geometry, least=self._patches(geometry), most=most)
        parts = []
        for number, region in enumerate(search.regions, 1):
            parts.append(OrganProbability(region.organ, region.box, self._probability(region, cutter)))
            if progress is not None:
                progress(LOCATING + (1 - LOCATING) * number / len(search.regions))
        labels = merged_labels(parts, self.definition, geometry.shape)
        not_found = search.nowhere | self._unanswered(search.regions, parts, labels)
        probabilities = merged_probabilities(parts, self.definition, geometry.shape) if wanted.probabilities else None
        in_order = {name: not_found[name] for name in self.definition.names if name in not_found}
        missed = {region.organ: f"{region.missed}; {FOUND_THERE}" for region in search.regions if region.missed}
        missed = {name: in_order.get(name, missed.get(name, "")) for name in (*missed, *search.nowhere)}
        return ChainOutput(labels if wanted.labels else None, probabilities, in_order, missed)

    def largest_regions(self, geometry: Geometry) -> dict[str, Shape]:
        """The most voxels (z, y, x) that the region of each organ has in a volume, by class name."""
        least, most = self._patches(geometry), largest_regions(self.experience, self._sizes_mm, geometry)
        return {
            name: tuple(min(max(ends), n) for *ends, n in zip(least[name], edges, geometry.shape, strict=True))
            for name, edges in most.items()
        }

    def _patches(self, geometry: Geometry) -> dict[str, Shape]:
        return {name: patch_on_volume(one.stage, self.plans, geometry) for name, one in self.organs.items()}

    def _probability(self, region: Region, cutter: RegionCutter) -> np.ndarray:
        """(z, y, x) float32 on the volume's grid within the region."""
        predictor = self.organs[region.organ]
        case = cutter.cut(region.box, predictor.stage, organ=region.organ)
        logits = predictor.logits(case.image)
        if is_mirrored(predictor.stage, region.organ):
            logits = mirrored(logits, self.plans)
        restorer = ProbabilityRestorer(case.record, organ_labels(self.definition))
        restorer.advance(logits, logits.shape[1])
        return restorer.restored[1].copy()  # a view would hold on to the other class

    def _unanswered(
        self, regions: Sequence[Region], parts: Sequence[OrganProbability], labels: np.ndarray
    ) -> dict[str, str]:
        there = found_organs(labels, self.definition)
        reasons = {}
        for region, part in zip(regions, parts, strict=True):
            if region.organ not in there:
                nothing = f"{region.missed}, and {EXPECTED_ONLY}" if region.missed else LOCATED_ONLY
                reasons[region.organ] = OVERRULED if part.probability.max() > 0.5 else nothing
        return reasons


def make_predictor(
    networks: Iterable[nn.Module | NetworkFile],
    plans: Plans,
    stage: StagePlan,
    labels: Labels,
    options: PredictionOptions | None = None,
    *,
    volumes: int = 1,
    choice: Choice | None = None,
    int8: Sequence[Calibrated] = (),
) -> StagePredictor:
    """The predictor of a stage of any kind; one with a region predicts whether a voxel belongs to its organ."""
    if stage.region is not None:
        plans, labels = plans.of_organ(stage), organ_labels(labels)
        volumes *= len(stage.region.organs)
    return StagePredictor(networks, plans, stage, labels, options, volumes=volumes, choice=choice, int8=int8)


def organ_sizes_mm(stages: Iterable[StagePlan], plans: Plans) -> dict[str, tuple[float, ...]]:
    """The planned edges of a large organ's box along the volume's axes (z, y, x), by class name."""
    regions = [stage.region for stage in stages if stage.region is not None]
    return {organ: plans.in_volume_order(region.size_mm) for region in regions for organ in region.organs}


def patch_on_volume(stage: StagePlan, plans: Plans, geometry: Geometry) -> Shape:
    """The most voxels (z, y, x) of a volume that one patch of a stage sees whole, at least one per axis."""
    lengths = plans.in_volume_order(
        tuple(edge * mm for edge, mm in zip(stage.patch_size, stage.spacing_mm, strict=True))
    )
    return tuple(max(1, int(mm / step + 1e-6)) for mm, step in zip(lengths, geometry.spacing_mm, strict=True))


def _first_part(progress: Progress, fraction: float) -> None:
    progress(LOCATING * fraction)
