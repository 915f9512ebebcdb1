"""The regions that an organ's network learns from: cut from the cases, prepared, and where in them samples lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.data.regions import CaseRegions
from autoseg.dataset import Case, Dataset
from autoseg.files import checksum_of
from autoseg.geometry import Box, Geometry
from autoseg.inference.two_stage import patch_on_volume
from autoseg.io import read_image, read_labels
from autoseg.labels import organ_labels
from autoseg.locating.boxes import CaseBoxes
from autoseg.locating.experience import Experience, learn
from autoseg.locating.regions import placed_within
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.foreground import sample_foreground
from autoseg.preprocessing.preparation import source_checksum
from autoseg.preprocessing.region import RegionCutter, is_mirrored
from autoseg.preprocessing.resampling import around
from autoseg.preprocessing.store import PreparedStore
from trainers.job import Job


@dataclass(frozen=True)
class OrganRegions:
    """The prepared regions of a network. of_cases: where samples lie, by the region's id."""

    store: PreparedStore
    of_cases: Mapping[str, CaseRegions]


def region_id(case_id: str, organ_number: int) -> str:
    """The id of an organ's region as a prepared case. organ_number: of the class in the dataset, from 1."""
    return f"{case_id}__organ{organ_number:03d}"


@dataclass(frozen=True)
class RegionMaker:
    """Prepares the regions of one stage. boxes: of all cases, by id. known: of finding organs, from as many of them as
    there are: more is kept around organs that are hard to find."""

    dataset: Dataset
    plans: Plans
    stage: StagePlan
    boxes: Mapping[str, CaseBoxes]
    known: Experience
    store: PreparedStore

    @property
    def organs(self) -> tuple[str, ...]:
        """The classes of the stage."""
        assert self.stage.region is not None
        return self.stage.region.organs

    def ids(self, case_ids: Iterable[str]) -> tuple[str, ...]:
        """The regions of these cases: of organs that somebody looked for, and that are there or were taken for so."""
        return tuple(
            region_id(case_id, self._number(organ))
            for case_id in case_ids
            for organ in self.organs
            if organ not in self.boxes[case_id].open and _boxes_of(self.boxes[case_id], organ)
        )

    def prepare(self, case: Case) -> None:
        """Cut and prepare the regions of a case that are missing or were made from something else."""
        missing = [organ for organ in self.organs if self._is_missing(case, organ)]
        if not missing:
            return
        volume = read_image(case.images)
        labels = None if case.label is None else read_labels(case.label).array
        cutter = RegionCutter(volume, self.plans, case_id=case.id)
        for organ in missing:
            mapped = None if labels is None else self._mapped(labels, organ)
            name, box = region_id(case.id, self._number(organ)), self._kept_box(case.id, organ)
            prepared = cutter.cut(box, self.stage, organ=organ, labels=mapped, name=name)
            meaning = organ_labels(self.dataset.labels)
            foreground = {} if prepared.labels is None else sample_foreground(prepared.labels, meaning)
            self.store.write(prepared, foreground, made_from=self._made_from(case, organ))

    def regions(self, case_ids: Iterable[str], experience: Experience) -> OrganRegions:
        """Where samples lie in the prepared regions of these cases, with the margins that experience gives."""
        found = {}
        for case_id in case_ids:
            for organ in self.organs:
                name = region_id(case_id, self._number(organ))
                if name in self.ids([case_id]):
                    found[name] = self._case_regions(case_id, organ, self.store.record(name), experience)
        return OrganRegions(self.store, found)

    def _case_regions(self, case_id: str, organ: str, record: CaseRecord, experience: Experience) -> CaseRegions:
        boxes, kept = self.boxes[case_id], self._kept_box(case_id, organ)
        known = experience.organs[organ]

        def region(box: Box | None) -> Box | None:
            if box is None:
                return None
            grown = experience.with_margins(organ, box, boxes.geometry)
            return self._on_grid(self._placed(grown, boxes.geometry), kept, record, organ)

        margins = np.maximum(known.margin_low_mm, known.margin_high_mm)[list(self.plans.transpose)]
        jitter = tuple(int(mm / step) for mm, step in zip(margins, self.stage.spacing_mm, strict=True))
        return CaseRegions(region(boxes.true.get(organ)), region(boxes.located.get(organ)), jitter)

    def _placed(self, region: Box, geometry: Geometry) -> Box:
        """As prediction would cut it."""
        least = patch_on_volume(self.stage, self.plans, geometry)
        return placed_within(region.clipped(geometry.shape), least, geometry.shape)

    def _on_grid(self, box: Box, kept: Box, record: CaseRecord, organ: str) -> Box:
        """A box of the volume (z, y, x) in the voxels of the prepared region, in plan order."""
        scale = np.divide(record.prepared_shape, record.cropped_shape)
        order = list(self.plans.transpose)
        start = np.subtract(box.start, kept.start)[order] * scale
        stop = np.subtract(box.stop, kept.start)[order] * scale
        if is_mirrored(self.stage, organ):
            axis = self.plans.left_right_axis
            length = record.prepared_shape[axis or 0]
            start[axis], stop[axis] = length - stop[axis], length - start[axis]
        return Box(tuple(np.floor(start + 0.5).astype(int).tolist()), tuple(np.ceil(stop - 0.5).astype(int).tolist()))

    def _kept_box(self, case_id: str, organ: str) -> Box:
        """What is kept of a case: its boxes with measured margins, at least a patch, and around it a margin again.

        The samples' regions lie in the first, and are moved and turned. The second is the planned one, or the measured
        one where that is larger.
        """
        assert self.stage.region is not None
        boxes, organs = self.boxes[case_id], self.known.organs[organ]
        geometry = boxes.geometry
        inner = self.known.with_margins(organ, around(_boxes_of(boxes, organ)), geometry)
        planned_mm = self.plans.in_volume_order(self.stage.region.margin_mm)
        margin_mm = np.maximum(planned_mm, np.maximum(organs.margin_low_mm, organs.margin_high_mm))
        margin = tuple(int(np.ceil(margin_mm[axis] / geometry.spacing_mm[axis])) for axis in range(3))
        patch = patch_on_volume(self.stage, self.plans, geometry)
        least = tuple(edge + 2 * more for edge, more in zip(patch, margin, strict=True))
        return placed_within(inner.grown(margin).clipped(geometry.shape), least, geometry.shape)

    def _mapped(self, labels: np.ndarray, organ: str) -> np.ndarray:
        """(Z, Y, X) int16: 1 for the organ, 2 for what nobody annotated."""
        meaning = self.dataset.labels
        mapped = meaning.mask(labels, organ).astype(np.int16)
        if meaning.ignore is not None:
            mapped[labels == meaning.ignore] = 2
        return mapped

    def _is_missing(self, case: Case, organ: str) -> bool:
        name = region_id(case.id, self._number(organ))
        return name in self.ids([case.id]) and not self.store.is_made_from(name, self._made_from(case, organ))

    def _made_from(self, case: Case, organ: str) -> str:
        source = source_checksum(case, self.dataset, self.plans, self.stage)
        mirrors = is_mirrored(self.stage, organ)
        return checksum_of([source, organ, mirrors, self._kept_box(case.id, organ)])

    def _number(self, organ: str) -> int:
        return self.dataset.labels.names.index(organ) + 1


def regions_of(makers: Sequence[RegionMaker], case_ids: Sequence[str], experience: Experience) -> OrganRegions:
    """The regions that one network learns from: of its stage, or of all stages that share it, each with its number.

    makers: of these stages, in the order of the numbers; they keep their regions in one store.
    """
    if makers[0].stage.network_name == makers[0].stage.name:
        return makers[0].regions(case_ids, experience)
    found = {}
    for number, maker in enumerate(makers):
        for name, region in maker.regions(case_ids, experience).of_cases.items():
            found[name] = replace(region, organ=number, patch_size=maker.stage.patch_size)
    return OrganRegions(makers[0].store, found)


def region_dataset(dataset: Dataset, region_ids: Sequence[str]) -> Dataset:
    """The regions as a dataset of one class; its cases have no files of their own."""
    cases = tuple(Case(name, ()) for name in region_ids)
    return Dataset(
        dataset.name, dataset.folder, dataset.channel_names, organ_labels(dataset.labels), dataset.file_ending, cases
    )


def learned(job: Job, boxes: Sequence[CaseBoxes]) -> Experience:
    """What cases teach of finding the organs of a job with two stages."""
    plans, locator = job.plans, job.stages[0]
    regions = [stage.region for stage in job.stages if stage.region is not None]
    guesses = {organ: plans.in_volume_order(region.margin_mm) for region in regions for organ in region.organs}
    given = {organ for region in regions if region.margin_given for organ in region.organs}
    organs = [name for name in job.dataset.labels.names if name in guesses]
    voxel = plans.in_volume_order(locator.spacing_mm)
    return learn(boxes, organs, voxel_mm=voxel, first_guess_mm=guesses, given=given)


def stored_regions(folder: Path) -> PreparedStore:
    """The prepared regions below the folder of a stage."""
    return PreparedStore(folder / "regions")


def _boxes_of(boxes: CaseBoxes, organ: str) -> list[Box]:
    return [found[organ] for found in (boxes.true, boxes.located) if organ in found]
