"""Preparing every case of a dataset for one grid: in threads, resumable, and again where something changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import FileError
from autoseg.files import checksum_of, remove_partial_files
from autoseg.io import read_geometry, read_image, read_labels
from autoseg.parallel import in_threads
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.case import prepare, target_spacing_mm
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
    """Prepare the training cases that are not in the folder yet, or were made from something else.

    Cases that other plans beside these prepared in the same way are taken over from them, without a copy. workers:
    threads, None to choose by the cores; fewer are used where memory is short. progress: show a bar. Cases
    that left the dataset leave the folder. An error in a case is raised once those that were begun have ended.
    """
    store = PreparedStore(folder)
    if folder.is_dir():
        remove_partial_files(folder)
    made_from = {case.id: source_checksum(case, dataset, plans, stage) for case in dataset.cases}
    for case_id in set(store.case_ids()) - set(made_from):
        store.remove(case_id)
    todo = [case for case in dataset.cases if not store.is_made_from(case.id, made_from[case.id])]
    todo = _not_prepared_elsewhere(store, stage.grid, todo, made_from)
    if not todo:
        return store
    workers = min(workers or usable_cores() + WAITING_WORKERS, affordable_workers(todo, plans, stage), len(todo))
    _prepare_all(_Preparation(store, dataset, plans, stage, made_from), todo, workers, progress)
    return store


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


def affordable_workers(cases: Sequence[Case], plans: Plans, stage: StagePlan) -> int:
    """How many of the largest of these cases can be prepared at once in the memory that is available; at least 1."""
    need = max(_bytes_needed(case, plans, stage) for case in cases)
    return max(1, int(available_memory_bytes() * MEMORY_SHARE / need))


def _bytes_needed(case: Case, plans: Plans, stage: StagePlan) -> float:
    geometry = read_geometry(case.images[0])
    spacing = [geometry.spacing_mm[axis] for axis in plans.transpose]
    shape = tuple(geometry.shape[axis] for axis in plans.transpose)
    shape = resampled_shape(shape, spacing, target_spacing_mm(spacing, stage))
    before, after = float(np.prod(geometry.shape)), float(np.prod(shape))
    return len(case.images) * (BYTES_PER_SOURCE_VOXEL * before + BYTES_PER_PREPARED_VOXEL * after)


@dataclass(frozen=True)
class _Preparation:
    """Preparing one case: what a thread does."""

    store: PreparedStore
    dataset: Dataset
    plans: Plans
    stage: StagePlan
    made_from: dict[str, str]

    def __call__(self, case: Case) -> None:
        volume = read_image(case.images)
        labels = read_labels(case.label) if case.label else None
        prepared = prepare(volume, labels, self.plans, self.stage, case_id=case.id, not_contoured=case.not_contoured)
        del volume, labels
        foreground = {} if prepared.labels is None else sample_foreground(prepared.labels, self.dataset.labels)
        self.store.write(prepared, foreground, made_from=self.made_from[case.id])


def _prepare_all(preparation: _Preparation, cases: Sequence[Case], workers: int, progress: bool) -> None:
    """Prepare the cases, those with the largest files first, so that no thread ends alone with a large one."""
    from tqdm import tqdm

    ordered = sorted(cases, key=lambda case: (-sum(path.stat().st_size for path in case.images), case.id))
    name = f"preparing {preparation.stage.grid}"
    with products_in_threads(workers):
        done = in_threads(preparation, ordered, workers)
        for _ in tqdm(done, total=len(ordered), desc=name, unit="case", disable=None if progress else True):
            pass
