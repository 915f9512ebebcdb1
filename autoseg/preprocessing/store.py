"""Prepared cases on disk: arrays that are read by mapping them into memory, and a record written last.

FOLDER/CASE.npy            image (C, z, y, x) float32
FOLDER/CASE_labels.npy     labels (z, y, x) int16, where there are any
FOLDER/CASE_foreground.npz voxels of every class: names, ends (classes,), voxels (n, 3) int32 one class after another
FOLDER/CASE.json           the record; a case is complete when it exists
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError, FileError
from autoseg.files import atomic_path, case_file, from_json, link_file, read_json, write_json
from autoseg.preprocessing.case import CaseRecord, PreparedCase

STORE_SCHEMA = 1


@dataclass(frozen=True)
class StoredRecord:
    """What CASE.json holds. made_from: checksum of everything that the arrays depend on; has_labels: are there any."""

    record: CaseRecord
    made_from: str
    has_labels: bool
    schema: int = STORE_SCHEMA


@dataclass(frozen=True)
class PreparedStore:
    """The prepared cases of one grid in a folder."""

    folder: Path

    def write(
        self, case: PreparedCase, foreground: Mapping[str, np.ndarray] | None = None, *, made_from: str = ""
    ) -> None:
        """Store a case; killed at any moment it leaves a complete case or none.

        foreground: (n, 3) int32 voxels by class name, see foreground.sample_foreground.
        """
        case_id = case.record.case_id
        self.remove(case_id)
        _save_array(self._path(case_id, ".npy"), case.image)
        if case.labels is not None:
            _save_array(self._path(case_id, "_labels.npy"), case.labels)
        _save_foreground(self._path(case_id, "_foreground.npz"), foreground or {})
        write_json(self._path(case_id, ".json"), StoredRecord(case.record, made_from, case.labels is not None))

    def take_over(self, other: PreparedStore, case_id: str) -> bool:
        """Make a case of another store one of this store too, without a copy; whether the file system could."""
        self.remove(case_id)
        endings = (".npy", "_labels.npy", "_foreground.npz", ".json")
        sources = [(other._path(case_id, ending), self._path(case_id, ending)) for ending in endings]
        return all(link_file(source, path) for source, path in sources if source.exists())

    def remove(self, case_id: str) -> None:
        """Delete what is stored of a case, its record first."""
        for ending in (".json", ".npy", "_labels.npy", "_foreground.npz"):
            self._path(case_id, ending).unlink(missing_ok=True)

    def case_ids(self) -> list[str]:
        """The complete cases, sorted."""
        return sorted(path.name.removesuffix(".json") for path in self.folder.glob("*.json") if path.name[0] != ".")

    def is_made_from(self, case_id: str, made_from: str) -> bool:
        """Whether the case is complete and was made from what this checksum stands for."""
        try:
            stored = self._stored(case_id)
        except AutosegError:
            return False
        endings = [".npy", "_foreground.npz"] + (["_labels.npy"] if stored.has_labels else [])
        return stored.made_from == made_from and all(self._path(case_id, ending).exists() for ending in endings)

    def image(self, case_id: str) -> np.ndarray:
        """(C, z, y, x) float32, mapped into memory, read-only."""
        return _map_array(self._path(case_id, ".npy"))

    def labels(self, case_id: str) -> np.ndarray:
        """(z, y, x) int16, mapped into memory, read-only; FileError for a case without labels."""
        return _map_array(self._path(case_id, "_labels.npy"))

    def record(self, case_id: str) -> CaseRecord:
        """What was done to the case."""
        return self._stored(case_id).record

    def foreground(self, case_id: str) -> dict[str, np.ndarray]:
        """(n, 3) int32 voxels (z, y, x) by class name, and foreground.ANNOTATED where an ignore label exists."""
        path = self._path(case_id, "_foreground.npz")
        try:
            with np.load(path, allow_pickle=False) as stored:
                names, ends, voxels = stored["names"], stored["ends"], stored["voxels"]
        except (OSError, ValueError, KeyError) as error:
            raise _unreadable(path, error) from error
        return dict(zip(names.tolist(), np.split(voxels, ends[:-1]), strict=True))

    def _stored(self, case_id: str) -> StoredRecord:
        path = self._path(case_id, ".json")
        return from_json(StoredRecord, read_json(path), path)

    def _path(self, case_id: str, ending: str) -> Path:
        return case_file(self.folder, case_id, ending)


@dataclass(frozen=True)
class PredictedLabels:
    """The labels that an earlier stage of a cascade predicted, on the next stage's grid: FOLDER/CASE.npy.

    Beside each lies CASE.json, with the checksum of the network that made it.
    """

    folder: Path

    def write(self, case_id: str, labels: np.ndarray, *, made_by: str) -> None:
        """Store (z, y, x) label values as int16. made_by: the checksum of the network."""
        record = case_file(self.folder, case_id, ".json")
        record.unlink(missing_ok=True)
        _save_array(case_file(self.folder, case_id, ".npy"), labels.astype(np.int16, copy=False))
        write_json(record, {"made_by": made_by})

    def made_by(self, case_id: str) -> str | None:
        """The checksum of the network that predicted the case; None where it was not predicted."""
        record = case_file(self.folder, case_id, ".json")
        return str(read_json(record)["made_by"]) if record.exists() else None

    def read(self, case_id: str) -> np.ndarray:
        """(z, y, x) int16, mapped into memory, read-only."""
        return _map_array(case_file(self.folder, case_id, ".npy"))


def _save_array(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)


def _save_foreground(path: Path, foreground: Mapping[str, np.ndarray]) -> None:
    voxels = [np.empty((0, 3), np.int32), *foreground.values()]
    ends = np.cumsum([len(index) for index in foreground.values()], dtype=np.int64)
    with atomic_path(path) as temporary:
        np.savez(temporary, names=np.array(list(foreground), dtype=np.str_), ends=ends, voxels=np.concatenate(voxels))


def _map_array(path: Path) -> np.ndarray:
    try:
        mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error
    return mapped


def _unreadable(path: Path, error: Exception) -> FileError:
    fact = "does not exist." if isinstance(error, FileNotFoundError) else f"cannot be read ({error})."
    return FileError(path, fact, "Prepare the dataset again with autoseg_plan_and_preprocess.")
