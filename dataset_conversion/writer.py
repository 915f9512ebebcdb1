"""Writing a raw dataset in nnU-Net v2's layout: every case whole or not at all, dataset.json last, resumable.

What a case was made from is kept in .conversion/; a case whose source has not changed is not written again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.checking import grid_difference
from autoseg.errors import AutosegError, DatasetError, FileError, GeometryError
from autoseg.files import atomic_path, checksum, checksum_of, from_json, read_json, remove_partial_files, write_json
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_geometry, read_image, read_labels, write_image, write_labels
from autoseg.parallel import in_threads

ENDING = ".nii.gz"
RECORDS = ".conversion"
RECORD_SCHEMA = 1
ERRORS_SHOWN = 10

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CaseContent:
    """What a case consists of.

    images: one per channel, a file or a volume of shape (Z, Y, X) or (1, Z, Y, X). label: likewise, (Z, Y, X), or None.
    A file that ends in .nii.gz is taken over byte by byte: it must hold a single three-dimensional volume.
    """

    images: tuple[Path | Volume, ...]
    label: Path | Volume | None = None


@dataclass(frozen=True)
class SourceCase:
    """A case to be written.

    part: "Tr" for training or "Ts" for test. files: everything it is made from. settings: JSON values that its content
    depends on besides the files. load: called only where the case has to be written. not_contoured: classes that nobody
    looked for in it.
    """

    id: str
    part: str
    files: tuple[Path, ...]
    load: Callable[[], CaseContent]
    settings: Any = None
    not_contoured: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetFacts:
    """What dataset.json says. labels: class to value, without the background. texts: name, licence and the like."""

    channel_names: tuple[str, ...]
    labels: dict[str, int]
    texts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Record:
    """What was written for a case: the checksum of its source, and the size in bytes of each file by relative path."""

    schema: int
    source: str
    files: dict[str, int]


def write_dataset(
    folder: Path,
    cases: Sequence[SourceCase],
    facts: DatasetFacts,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write all cases and then dataset.json.

    Cases that are complete and whose source has not changed are left alone; cases that an earlier run wrote and that
    are no longer among `cases` are removed. progress: called with the cases done and their total. Raises DatasetError
    for a folder that holds a dataset of another origin, and, after all other cases are written, for those that cannot.
    """
    _check_ids(cases)
    _check_folder(folder)
    remove_partial_files(folder)
    _remove_former_cases(folder, cases)
    errors: list[str] = []
    outcomes = in_threads(lambda case: _try_to_write(folder, case, facts), cases, workers)
    for done, error in enumerate(outcomes, start=1):
        errors += [error] if error else []
        if progress is not None:
            progress(done, len(cases))
    if errors:
        raise _conversion_error(errors, len(cases))
    write_json(folder / "dataset.json", _dataset_json(cases, facts))


def _check_ids(cases: Sequence[SourceCase]) -> None:
    if not any(case.part == "Tr" for case in cases):
        raise DatasetError("The source holds no training case.", "Check the path and the layout of the source.")
    twice = [key for key, count in Counter(case.id for case in cases).items() if count > 1]
    if twice:
        parts = {case.part for case in cases if case.id == twice[0]}
        among = ", one for training and one for testing" if len(parts) > 1 else ""
        raise DatasetError(f"The source holds two cases called {twice[0]!r}{among}.", "Rename one of them.")


def _check_folder(folder: Path) -> None:
    if (folder / "dataset.json").exists() and not (folder / RECORDS).is_dir():
        raise DatasetError(
            f"{folder} holds a dataset that was not made by autoseg_convert.", "Choose another id or name, or move it."
        )


def _remove_former_cases(folder: Path, cases: Sequence[SourceCase]) -> None:
    wanted = {_record_path(folder, case) for case in cases}
    for path in sorted((folder / RECORDS).glob("*.json")):
        if path not in wanted:
            (folder / "dataset.json").unlink(missing_ok=True)
            for name in _read_record(path).files:
                (folder / name).unlink(missing_ok=True)
            path.unlink()


def _try_to_write(folder: Path, case: SourceCase, facts: DatasetFacts) -> str | None:
    """Write a case unless it is there. Returns why it could not be written, or None."""
    try:
        source = _source_checksum(case)
        if not _is_complete(folder, case, source):
            _write_case(folder, case, len(facts.channel_names), source)
    except AutosegError as error:
        return f"{case.id}: {error}"
    return None


def _source_checksum(case: SourceCase) -> str:
    missing = [path for path in case.files if not path.is_file()]
    if missing:
        raise FileError(missing[0], "does not exist.")
    return checksum_of({"files": [[path.name, checksum(path)] for path in case.files], "settings": case.settings})


def _is_complete(folder: Path, case: SourceCase, source: str) -> bool:
    path = _record_path(folder, case)
    if not path.exists():
        return False
    record = _read_record(path)
    return record.source == source and all(_size(folder / name) == size for name, size in record.files.items())


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _record_path(folder: Path, case: SourceCase) -> Path:
    return folder / RECORDS / f"{case.part}_{case.id}.json"


def _read_record(path: Path) -> _Record:
    record = from_json(_Record, read_json(path), path)
    if record.schema != RECORD_SCHEMA:
        raise FileError(path, f"has schema {record.schema}, not {RECORD_SCHEMA}.", "Delete the dataset's folder.")
    return record


def _write_case(folder: Path, case: SourceCase, channel_count: int, source: str) -> None:
    content = case.load()
    if len(content.images) != channel_count:
        raise GeometryError(f"It has {len(content.images)} channels, but {channel_count} are declared.")
    _check_grids(content)
    (folder / "dataset.json").unlink(missing_ok=True)
    _record_path(folder, case).unlink(missing_ok=True)
    targets = []
    for channel, image in enumerate(content.images):
        targets.append(folder / f"images{case.part}" / f"{case.id}_{channel:04d}{ENDING}")
        _write_image(targets[-1], image)
    if content.label is not None:
        targets.append(folder / f"labels{case.part}" / f"{case.id}{ENDING}")
        _write_label(targets[-1], content.label)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in targets}
    write_json(_record_path(folder, case), _Record(RECORD_SCHEMA, source, sizes))


def _check_grids(content: CaseContent) -> None:
    geometries = [_geometry(item) for item in _parts(content)]
    for other in geometries[1:]:
        difference = grid_difference(geometries[0], other)
        if difference is not None and difference.is_error:
            raise GeometryError(
                f"Its files lie on different grids: {difference.fact}.",
                "Resample them onto the grid of the first image, or correct the wrong header.",
            )


def _parts(content: CaseContent) -> Iterator[Path | Volume]:
    yield from content.images
    if content.label is not None:
        yield content.label


def _geometry(item: Path | Volume) -> Geometry:
    return read_geometry(item) if isinstance(item, Path) else item.geometry


def _write_image(target: Path, image: Path | Volume) -> None:
    if isinstance(image, Volume):
        write_image(target, image)
    elif image.name.endswith(ENDING):
        _copy(image, target)
    else:
        write_image(target, read_image([image]))


def _write_label(target: Path, label: Path | Volume) -> None:
    if isinstance(label, Volume):
        write_labels(target, label)
    elif label.name.endswith(ENDING):
        _copy(label, target)
    else:
        write_labels(target, read_labels(label))


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _conversion_error(errors: list[str], total: int) -> DatasetError:
    shown = "".join(f"\n  {error}" for error in errors[:ERRORS_SHOWN])
    more = f"\n  and {len(errors) - ERRORS_SHOWN} more" if len(errors) > ERRORS_SHOWN else ""
    return DatasetError(
        f"{len(errors)} of {total} cases cannot be converted:{shown}{more}",
        "Correct or remove them in the source and run the same command again; the other cases are kept.",
    )


def _dataset_json(cases: Sequence[SourceCase], facts: DatasetFacts) -> dict[str, Any]:
    values: dict[str, Any] = {
        **facts.texts,
        "channel_names": {str(i): name for i, name in enumerate(facts.channel_names)},
        "labels": {"background": 0, **facts.labels},
        "numTraining": sum(case.part == "Tr" for case in cases),
        "file_ending": ENDING,
    }
    not_contoured = {case.id: list(case.not_contoured) for case in cases if case.not_contoured}
    return {**values, "not_contoured": not_contoured} if not_contoured else values
