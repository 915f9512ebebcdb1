"""dataset.json and the files beside it, as typed values: what a dataset says about itself.

The layout is nnU-Net v2's, read unchanged: raw/DatasetNNN_Name/{dataset.json, imagesTr, labelsTr, imagesTs, labelsTs}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoseg.errors import DatasetError, FormatError
from autoseg.files import read_json
from autoseg.io import FILE_ENDINGS
from autoseg.labels import Labels, read_labels_entry

__all__ = [
    "FILE_ENDINGS",
    "Case",
    "Dataset",
    "Labels",
    "read_channel_names",
    "read_dataset",
    "read_labels_entry",
    "read_windows",
    "split_channel",
    "visible_files",
]


@dataclass(frozen=True)
class Case:
    """One study of one patient.

    images: one file per channel. label: None for a case without ground truth. not_contoured: classes that nobody looked
    for in this case: their absence from the label file means nothing. patient: cases of one patient share a fold.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None = None
    not_contoured: tuple[str, ...] = ()
    patient: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A raw dataset: where its files are and what they mean.

    name: DatasetNNN_Name. cases: the labelled training cases, sorted by id. test_cases: images in imagesTs, with labels
    where labelsTs has them.
    """

    name: str
    folder: Path
    channel_names: tuple[str, ...]
    labels: Labels
    file_ending: str
    cases: tuple[Case, ...]
    test_cases: tuple[Case, ...] = ()
    description: dict[str, Any] = field(default_factory=dict)

    def case(self, case_id: str) -> Case:
        """The training or test case with this id; DatasetError where there is none."""
        for case in (*self.cases, *self.test_cases):
            if case.id == case_id:
                return case
        raise DatasetError(
            f"{self.name} has no case {case_id!r} any more.", "Put it back, or train the folds that hold it again."
        )


def read_dataset(folder: Path) -> Dataset:
    """Read dataset.json and list the cases; files are not opened. FormatError names the key that is wrong.

    A case has the files that were found, which may be fewer than its channels: autoseg.checking tells.
    """
    path = folder / "dataset.json"
    values = read_json(path)
    if not isinstance(values, dict):
        raise FormatError(path, "must hold an object.")
    channel_names = read_channel_names(values, path)
    labels = read_labels_entry(values, path)
    ending = values.get("file_ending")
    if ending not in FILE_ENDINGS:
        raise FormatError(
            path,
            f"file_ending must be one of {', '.join(FILE_ENDINGS)}, not {ending!r}.",
            'Add for example "file_ending": ".nii.gz".',
        )
    cases = _listed_cases(values, folder, path) if "dataset" in values else _found_cases(folder, "Tr", ending)
    test_cases = (
        replace(case, label=case.label if case.label and case.label.exists() else None)
        for case in _found_cases(folder, "Ts", ending)
    )
    read_windows(values, path)  # the evaluation's: a wrong one is told before anything is trained
    add_facts = _case_facts(values, labels, path)
    return Dataset(
        folder.name,
        folder,
        channel_names,
        labels,
        ending,
        tuple(add_facts(case) for case in cases),
        tuple(add_facts(case) for case in test_cases),
        values,
    )


def read_channel_names(values: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The names of the channels in order, from `channel_names` or the older `modality`."""
    channels = values.get("channel_names", values.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise FormatError(path, "missing key 'channel_names'.", 'Add for example "channel_names": {"0": "CT"}.')
    expected = [str(i) for i in range(len(channels))]
    if sorted(channels) != sorted(expected):
        raise FormatError(path, f"channel_names must be numbered {', '.join(expected)}, not {', '.join(channels)}.")
    return tuple(str(channels[key]) for key in expected)


def _found_cases(folder: Path, part: str, ending: str) -> tuple[Case, ...]:
    """Cases by the names of their image files, CASE_0000.ending, sorted."""
    channels: dict[str, list[Path]] = {}
    for path in visible_files(folder / f"images{part}", ending):
        case_id, channel = split_channel(path.name[: -len(ending)])
        if channel is not None:
            channels.setdefault(case_id, []).append(path)
    labels = folder / f"labels{part}"
    return tuple(
        Case(case_id, tuple(files), labels / f"{case_id}{ending}") for case_id, files in sorted(channels.items())
    )


def visible_files(folder: Path, ending: str = "") -> list[Path]:
    """The files of a folder that end so, sorted; not hidden ones, such as the "._" files that macOS leaves behind."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.endswith(ending) and not path.name.startswith("."))


def split_channel(stem: str) -> tuple[str, int | None]:
    """("liver_7", 0) for "liver_7_0000"; (stem, None) for a name that does not end in a channel's four digits."""
    case_id, _, number = stem.rpartition("_")
    if case_id and len(number) == 4 and number.isascii() and number.isdecimal():
        return case_id, int(number)
    return stem, None


def _listed_cases(values: dict[str, Any], folder: Path, path: Path) -> tuple[Case, ...]:
    """Cases of the optional `dataset` map, whose paths may lie anywhere and may hold environment variables."""
    entries = _object(values, "dataset", path)
    cases = []
    for case_id, files in sorted(entries.items()):
        images, label = (files.get("images"), files.get("label")) if isinstance(files, dict) else (None, None)
        if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
            raise FormatError(path, f"dataset.{case_id} must hold 'images', a list of paths, one for each channel.")
        if not isinstance(label, str):
            raise FormatError(path, f"dataset.{case_id} must hold 'label', a path.")
        cases.append(Case(case_id, tuple(_anywhere(name, folder) for name in images), _anywhere(label, folder)))
    return tuple(cases)


def _anywhere(name: str, folder: Path) -> Path:
    path = Path(os.path.expandvars(name)).expanduser()
    return path if path.is_absolute() else folder / path


def read_not_contoured(values: dict[str, Any], labels: Labels, path: Path) -> dict[str, tuple[str, ...]]:
    """The classes that nobody looked for, by case, from `not_contoured` {case: [class]}; empty where it is missing."""
    entries = _object(values, "not_contoured", path)
    for case, names in entries.items():
        if not isinstance(names, list):
            raise FormatError(path, f"not_contoured.{case} must be a list of classes, not {names!r}.")
        unknown = [name for name in names if name not in labels.classes]
        if unknown:
            raise FormatError(path, f"not_contoured.{case} names {unknown[0]!r}, which is not among the labels.")
    return {case: tuple(names) for case, names in entries.items()}


def read_windows(values: dict[str, Any], path: Path) -> dict[str, tuple[float, float]]:
    """The intensities of black and white, by name, from `windows` {name: [low, high]}; empty where it is missing."""
    entries = _object(values, "windows", path)
    for name, window in entries.items():
        if not (isinstance(window, list) and [type(value) in (int, float) for value in window] == [True, True]):
            raise FormatError(path, f"windows.{name} must be a list of two numbers, not {window!r}.")
        if not window[0] < window[1]:
            raise FormatError(path, f"windows.{name} must have the smaller number first, and is {window!r}.")
    return {name: (float(low), float(high)) for name, (low, high) in entries.items()}


def _case_facts(values: dict[str, Any], labels: Labels, path: Path) -> Callable[[Case], Case]:
    """autoseg's two additions to the format: `not_contoured` {case: [class]} and `patients` {case: patient}.

    Returns a function that adds to a case what they say about it.
    """
    not_contoured, patients = read_not_contoured(values, labels, path), _object(values, "patients", path)

    def add(case: Case) -> Case:
        patient = patients.get(case.id)
        return replace(
            case,
            not_contoured=not_contoured.get(case.id, ()),
            patient=None if patient is None else str(patient),
        )

    return add


def _object(values: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    entry = values.get(key, {})
    if not isinstance(entry, dict):
        raise FormatError(path, f"{key} must be an object, not {entry!r}.")
    return entry
