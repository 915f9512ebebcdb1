"""Preparing every case of a dataset for its grids: in threads, resumable, and again where something changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import FileError
from autoseg.files import checksum_of, remove_partial_files
from autoseg.io import Volume, read_geometry, read_image, read_labels
from autoseg.parallel import in_threads
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.case import PreparedCase, prepare, target_spacing_mm
from autoseg.preprocessing.foreground import sample_foreground
from autoseg.preprocessing.regrid import products_in_threads
from autoseg.preprocessing.resampling import resampled_shape
from autoseg.preprocessing.store import PreparedStore
from autoseg.runtime import available_memory_bytes, usable_cores

METHOD = 2
"""To be raised when the same input is prepared differently: cases that older code prepared are then stale."""
BYTES_PER_SOURCE_VOXEL = 10
"""Held at the peak per voxel and channel of a source volume: as read, the crop that is normalised, labels, masks."""
BYTES_PER_PREPARED_VOXEL = 6
MEMORY_SHARE = 0.8
WAITING_WORKERS = 2
"""Threads beyond one per core: a third of the time of small cases is spent waiting until the disk has flushed."""


def prepare_dataset(
    dataset: Dataset,
    plans: Plans,
    stage: StagePlan,
    folder: Path,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> PreparedStore:
    """Prepare the training cases for the grid of one stage; see prepare_grids."""
    return prepare_grids(dataset, plans, {folder: stage}, workers=workers, progress=progress)[folder]


def prepare_grids(
    dataset: Dataset,
    plans: Plans,
    stages: Mapping[Path, StagePlan],
    *,
    workers: int | None = None,
    progress: bool = True,
) -> dict[Path, PreparedStore]:
    """Prepare the training cases that are not in the folders yet, or were made from something else; each is read once.

    stages: by folder, one for each grid. Cases that other plans beside these prepared in the same way are taken over
    from them, without a copy. workers: threads, None to choose by the cores; fewer are used where memory is short.
    progress: show a bar. Cases that left the dataset leave the folders. An error in a case is raised once those
    that were begun have ended.
    """
    grids = [_Grid.begun(dataset, plans, stage, folder) for folder, stage in stages.items()]
    todo = [case for case in dataset.cases if any(case.id in grid.todo for grid in grids)]
    if todo:
        most = affordable_workers(todo, plans, tuple(stages.values()))
        workers = min(workers or usable_cores() + WAITING_WORKERS, most, len(todo))
        coarse_first = sorted(grids, key=lambda grid: -float(np.prod(grid.stage.spacing_mm)))
        _prepare_all(_Preparation(dataset, plans, tuple(coarse_first)), todo, workers, progress)
    return {grid.store.folder: grid.store for grid in grids}


@dataclass(frozen=True)
class _Grid:
    """The prepared cases of a stage. made_from: what each is to be made from. todo: those that are missing."""

    store: PreparedStore
    stage: StagePlan
    made_from: dict[str, str]
    todo: frozenset[str]

    @classmethod
    def begun(cls, dataset: Dataset, plans: Plans, stage: StagePlan, folder: Path) -> _Grid:
        """Remove what is left over in the folder, take over what others have, and see what is missing."""
        store = PreparedStore(folder)
        if folder.is_dir():
            remove_partial_files(folder)
        made_from = {case.id: source_checksum(case, dataset, plans, stage) for case in dataset.cases}
        for case_id in set(store.case_ids()) - set(made_from):
            store.remove(case_id)
        missing = [case for case in dataset.cases if not store.is_made_from(case.id, made_from[case.id])]
        todo = _not_prepared_elsewhere(store, stage.grid, missing, made_from)
        return cls(store, stage, made_from, frozenset(case.id for case in todo))


def _not_prepared_elsewhere(
    store: PreparedStore, grid: str, cases: Sequence[Case], made_from: dict[str, str]
) -> list[Case]:
    """The cases that no other plans' folder of this grid holds; those that one holds are taken over."""
    others = [PreparedStore(path) for path in sorted(store.folder.parent.glob(f"*_{grid}")) if path != store.folder]
    left = []
    for case in cases:
        source = next((other for other in others if other.is_made_from(case.id, made_from[case.id])), None)
        if source is None or not store.take_over(source, case.id):
            left.append(case)
    return left


def source_checksum(case: Case, dataset: Dataset, plans: Plans, stage: StagePlan) -> str:
    """The checksum of all that a prepared case depends on; files count by size and time of change."""
    sources = [*case.images, *([case.label] if case.label else [])]
    try:
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    except OSError as error:
        raise FileError(Path(error.filename), f"cannot be read ({error.strerror}).") from error
    labels = dataset.labels
    return checksum_of(
        {
            "method": METHOD,
            "files": files,
            "labels": [labels.classes, labels.ignore],
            "not_contoured": case.not_contoured,
            "transpose": plans.transpose,
            "channels": plans.channels,
            "spacing_mm": stage.spacing_mm,
            "is_2d": stage.is_2d,
        }
    )


def affordable_workers(cases: Sequence[Case], plans: Plans, stages: Sequence[StagePlan]) -> int:
    """How many of the largest of these cases can be prepared at once in the memory that is available; at least 1."""
    need = max(_bytes_needed(case, plans, stages) for case in cases)
    return max(1, int(available_memory_bytes() * MEMORY_SHARE / need))


def _bytes_needed(case: Case, plans: Plans, stages: Sequence[StagePlan]) -> float:
    """While the largest grid is made."""
    geometry = read_geometry(case.images[0])
    spacing = [geometry.spacing_mm[axis] for axis in plans.transpose]
    shape = tuple(geometry.shape[axis] for axis in plans.transpose)
    shapes = [resampled_shape(shape, spacing, target_spacing_mm(spacing, stage)) for stage in stages]
    before, after = float(np.prod(geometry.shape)), max(float(np.prod(shape)) for shape in shapes)
    return len(case.images) * (BYTES_PER_SOURCE_VOXEL * before + BYTES_PER_PREPARED_VOXEL * after)


@dataclass(frozen=True)
class _Preparation:
    """Preparing one case for all grids that miss it: what a thread does. grids: the one with most voxels last."""

    dataset: Dataset
    plans: Plans
    grids: tuple[_Grid, ...]

    def __call__(self, case: Case) -> None:
        volume = read_image(case.images)
        labels = read_labels(case.label) if case.label else None
        *others, last = [grid for grid in self.grids if case.id in grid.todo]
        for grid in others:
            self._write(grid, self._prepared(grid, case, volume, labels))
        prepared = self._prepared(last, case, volume, labels)
        del volume, labels
        self._write(last, prepared)

    def _prepared(self, grid: _Grid, case: Case, volume: Volume, labels: Volume | None) -> PreparedCase:
        return prepare(volume, labels, self.plans, grid.stage, case_id=case.id, not_contoured=case.not_contoured)

    def _write(self, grid: _Grid, prepared: PreparedCase) -> None:
        foreground = {} if prepared.labels is None else sample_foreground(prepared.labels, self.dataset.labels)
        grid.store.write(prepared, foreground, made_from=grid.made_from[prepared.record.case_id])


def _prepare_all(preparation: _Preparation, cases: Sequence[Case], workers: int, progress: bool) -> None:
    """Prepare the cases, those with the largest files first, so that no thread ends alone with a large one."""
    from tqdm import tqdm

    ordered = sorted(cases, key=lambda case: (-sum(path.stat().st_size for path in case.images), case.id))
    name = f"preparing {' and '.join(grid.stage.grid for grid in preparation.grids)}"
    with products_in_threads(workers):
        done = in_threads(preparation, ordered, workers)
        for _ in tqdm(done, total=len(ordered), desc=name, unit="case", disable=None if progress else True):
            pass
