"""Images without labels for a teacher: prepared as the network of a task sees them.

A later stage of a cascade sees what the stages before it say of them, and an organ's network the regions in which the
locator found its organ: both by the networks of the uncompressed model, as in use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.data.source import PatchSource
from autoseg.data.spatial import SpatialLimits
from autoseg.dataset import Case, Dataset
from autoseg.errors import FileError
from autoseg.files import checksum, checksum_of
from autoseg.inference.chain import Chain, previous_labels_on_grid
from autoseg.inference.inputs import check_inputs, find_inputs
from autoseg.inference.model import load_earlier_stages
from autoseg.inference.model_files import ModelFiles
from autoseg.inference.options import PredictionOptions
from autoseg.inference.two_stage import organ_sizes_mm
from autoseg.io import Volume, read_image
from autoseg.locating.boxes import CaseBoxes, locate, read_boxes, write_boxes
from autoseg.locating.experience import joined, read_experience
from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.preparation import prepare_dataset, source_checksum
from autoseg.preprocessing.store import PredictedLabels, PreparedStore
from autoseg.training.options import TrainingSettings
from trainers.fitting import FittingTask
from trainers.regions import OrganRegions, RegionMaker, regions_of

LOGGER = logging.getLogger(__name__)


def unlabelled_patches(folder: Path, task: FittingTask, settings: TrainingSettings) -> PatchSource | None:
    """Patches from the images of a folder, as the task's network sees them, with labels that mean nothing.

    None for an organ that the locator finds in none of them. Raises FileError and OptionError as find_inputs and
    check_inputs do.
    """
    job = task.job
    cases = find_inputs([folder], job.dataset.channel_names, job.dataset.file_ending)
    check_inputs(cases, job.dataset.channel_names, [])
    _check_a_file_per_channel(cases, job.dataset.channel_names)
    images = UnlabelledImages(task, cases, settings.device)
    previous, regions = None, None
    if task.regions is None:
        store, names = images.whole(), [case.id for case in cases]
        previous = None if task.previous is None else images.previous(store)
    else:
        organs = images.regions()
        store, regions, names = organs.store, organs.of_cases, list(organs.of_cases)
    if not names:
        LOGGER.info("%s: the locator finds it in none of the unlabelled images.", task.title)
        return None
    without_labels: Any = UnlabelledStore(store)
    return PatchSource(
        without_labels,
        names,
        job.plans,
        task.stage,
        job.dataset.labels,
        previous=previous,
        seed=settings.seed + 1,
        augmentation=settings.augmentation,
        limits=SpatialLimits(settings.rotation_degrees, settings.scales, settings.shift_voxels),
        foreground_fraction=0.0,
        crops_per_case=settings.crops_per_case,
        regions=regions,
    )


def networks_before(teacher: ModelFiles, stage: str) -> list[Path]:
    """The networks of the model that decide what a stage sees of an image: none where it sees the image alone."""
    names, seen = [one.name for one in teacher.stages], teacher.plans.stages[stage]
    count = 1 if seen.region is not None else 0
    if seen.previous_stage is not None:
        count = 1 + names.index(seen.previous_stage)
    return [path for paths in teacher.weights[:count] for path in paths]


@dataclass(frozen=True)
class UnlabelledStore:
    """Prepared cases without labels, as a source of patches reads them: all of it background, which nobody looks at."""

    store: PreparedStore

    def image(self, case_id: str) -> np.ndarray:
        """(C, z, y, x) float32, read-only."""
        return self.store.image(case_id)

    def labels(self, case_id: str) -> np.ndarray:
        """(z, y, x) int16 zeros, read-only; a single value in memory."""
        return np.broadcast_to(np.int16(0), self.store.image(case_id).shape[1:])

    def record(self, case_id: str) -> CaseRecord:
        """What was done to the case."""
        return self.store.record(case_id)

    def foreground(self, case_id: str) -> dict[str, np.ndarray]:
        """No voxels of any class."""
        return {}


def _check_a_file_per_channel(cases: Sequence[Case], channels: Sequence[str]) -> None:
    for case in cases:
        if len(case.images) != len(channels):
            raise FileError(
                case.images[0],
                f"holds all {len(channels)} channels; to teach on, each must be a file.",
                f"Split it into {case.id}_0000, {case.id}_0001, ...",
            )


@dataclass(frozen=True)
class UnlabelledImages:
    """The images for one task. What is made of them is kept beside the prepared cases, and made once.

    device: where the stages before the task's compute.
    """

    task: FittingTask
    cases: tuple[Case, ...]
    device: str

    def whole(self) -> PreparedStore:
        """All of every image, on the grid of the task's stage."""
        dataset = replace(self.task.job.dataset, cases=self.cases)
        return prepare_dataset(dataset, self.task.job.plans, self.task.stage, self._place(self.task.stage.grid))

    def previous(self, store: PreparedStore) -> PredictedLabels:
        """What the stage before says of them, on the grid of the prepared ones."""
        stage = self.task.stage
        assert stage.previous_stage is not None
        labels = PredictedLabels(self._place(f"{stage.previous_stage}_for_{stage.name}", *self._guides))

        def keep(case: Case, volume: Volume, predicted: np.ndarray, made_by: str) -> None:
            on_grid = previous_labels_on_grid(Volume(predicted, volume.geometry), store.record(case.id))
            labels.write(case.id, on_grid, made_by=made_by)

        names = [earlier.name for earlier in self._teacher.stages]
        self._predict(1 + names.index(stage.previous_stage), labels.made_by, keep)
        return labels

    def regions(self) -> OrganRegions:
        """The regions of the task's organ, or of all that share its network, in the images where it was located."""
        files, network = self._teacher, self.task.stage.network_name
        store, boxes = PreparedStore(self._place(network, *self._guides)), self._boxes()
        sharing = [stage for stage in files.stages if stage.network_name == network]
        known = joined([read_experience(path) for path in files.experience])
        makers = [RegionMaker(self._dataset, files.plans, stage, boxes, known, store) for stage in sharing]
        for case in _with_progress(self.cases, f"preparing {network} in unlabelled images"):
            for maker in makers:
                maker.prepare(case)
        return regions_of(makers, [case.id for case in self.cases], known)

    def _boxes(self) -> dict[str, CaseBoxes]:
        """Where the locator finds the organs."""
        files, folder = self._teacher, self._place("boxes", *self._guides)
        sizes = organ_sizes_mm(files.stages[1:], files.plans)

        def made_by(case_id: str) -> str | None:
            path = folder / f"{case_id}.json"
            return read_boxes(path).made_by if path.exists() else None

        def keep(case: Case, volume: Volume, predicted: np.ndarray, made_by: str) -> None:
            located = locate(predicted, files.labels, volume.geometry, sizes).boxes
            write_boxes(folder / f"{case.id}.json", CaseBoxes(volume.geometry, {}, located, made_by=made_by))

        self._predict(1, made_by, keep)
        return {case.id: read_boxes(folder / f"{case.id}.json") for case in self.cases}

    def _predict(
        self,
        count: int,
        made_by: Callable[[str], str | None],
        keep: Callable[[Case, Volume, np.ndarray, str], None],
    ) -> None:
        """Predict by the first stages those images that were not predicted by the same networks before.

        made_by: of an image, None where it was not predicted. keep: takes what the last of these stages says.
        """
        files, networks = self._teacher, self._guides
        wanted = {
            case.id: checksum_of([networks, source_checksum(case, self._dataset, files.plans, files.stages[0])])
            for case in self.cases
        }
        todo = [case for case in self.cases if made_by(case.id) != wanted[case.id]]
        if not todo:
            return
        chain: Chain = load_earlier_stages(files, count, PredictionOptions(device=self.device), volumes=len(todo))
        for case in _with_progress(todo, f"predicting unlabelled images by {files.stages[count - 1].name}"):
            volume = read_image(case.images)
            predicted = chain.run(chain.prepare(volume, case_id=case.id)).labels
            assert predicted is not None
            keep(case, volume, predicted, wanted[case.id])

    @property
    def _teacher(self) -> ModelFiles:
        """The uncompressed model."""
        making = self.task.job.making
        assert making is not None  # a teacher's network is made out of another one
        return making.teacher_files

    @cached_property
    def _guides(self) -> list[str]:
        """Checksums of the networks of the stages before."""
        return [checksum(path) for path in networks_before(self._teacher, self.task.stage.name)]

    @cached_property
    def _dataset(self) -> Dataset:
        """The images with the classes of the whole configuration: the task's are those of an organ."""
        return replace(self.task.job.dataset, labels=self._teacher.labels, cases=self.cases)

    def _place(self, name: str, *made_by: str) -> Path:
        """A folder for what is made of these images, by these networks: two runs do not disturb one another."""
        job, images = self.task.job, [str(path.absolute()) for case in self.cases for path in case.images]
        mark = checksum_of([images, made_by])[:8]
        return job.workspace.prepared(job.dataset.name) / f"unlabelled_{mark}_{job.plans.name}_{name}"


def _with_progress(cases: tuple[Case, ...] | list[Case], title: str) -> Iterator[Case]:
    from tqdm import tqdm

    yield from tqdm(cases, title, unit="case", disable=None)
