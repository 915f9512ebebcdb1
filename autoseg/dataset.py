"""dataset.json and the files beside it, as typed values: what a dataset says about itself.

The layout is nnU-Net v2's, read unchanged: raw/DatasetNNN_Name/{dataset.json, imagesTr, labelsTr, imagesTs, labelsTs}.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import FormatError
from autoseg.files import read_json

FILE_ENDINGS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")


@dataclass(frozen=True)
class Labels:
    """What the voxel values of a label file mean.

    classes: name to the values that make it up, in the order of the network's outputs; the background and the ignore
    label are not among them. ignore: the value of voxels that nobody annotated, or None. region_values: the values that
    regions are painted with, in order, where any class is a region; else empty.
    """

    classes: dict[str, tuple[int, ...]]
    ignore: int | None = None
    region_values: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, without the background."""
        return tuple(self.classes)

    @property
    def has_regions(self) -> bool:
        """Whether classes may overlap: then outputs are one sigmoid per class, else one softmax with background."""
        return bool(self.region_values)

    @property
    def output_count(self) -> int:
        """Channels that a network needs: one per class, and one for the background where labels are exclusive."""
        return len(self.classes) + (0 if self.has_regions else 1)

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that a label file may hold, sorted: background, classes and ignore."""
        found = {0} | {value for values in self.classes.values() for value in values}
        return tuple(sorted(found | ({self.ignore} if self.ignore is not None else set())))

    def mask(self, labels: np.ndarray, name: str) -> np.ndarray:
        """Where a class is; labels: integers of any shape; the result is boolean of that shape."""
        values = self.classes[name]
        return labels == values[0] if len(values) == 1 else np.isin(labels, values)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Turn network outputs into labels. outputs: (K, ...) logits. Returns (...) int16 label values.

        Exclusive labels take the largest logit (the lower class on a tie); regions with a positive logit are painted
        in the order of region_values, later ones over earlier ones.
        """
        painted = np.zeros(outputs.shape[1:], dtype=np.int16)
        if self.has_regions:
            for logits, value in zip(outputs, self.region_values, strict=True):
                painted[logits > 0] = value
            return painted
        best = outputs[0].copy()
        for logits, values in zip(outputs[1:], self.classes.values(), strict=True):
            better = logits > best
            best[better] = logits[better]
            painted[better] = values[0]
        return painted


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
        """The training or test case with this id; KeyError where there is none."""
        for case in (*self.cases, *self.test_cases):
            if case.id == case_id:
                return case
        raise KeyError(case_id)


def read_dataset(folder: Path) -> Dataset:
    """Read dataset.json and list the cases; files are not opened. FormatError names the key that is wrong."""
    path = folder / "dataset.json"
    values = read_json(path)
    if not isinstance(values, dict):
        raise FormatError(path, "must hold an object.")
    channel_names = read_channel_names(values, path)
    labels = read_labels_entry(values, path)
    ending = values.get("file_ending")
    if ending not in FILE_ENDINGS:
        raise FormatError(path, f"file_ending must be one of {', '.join(FILE_ENDINGS)}, not {ending!r}.")
    cases = _listed_cases(values, folder, path) if "dataset" in values else _found_cases(folder, "Tr", ending)
    extra = _case_facts(values, labels, path)
    cases = tuple(Case(c.id, c.images, c.label, extra[0].get(c.id, ()), extra[1].get(c.id)) for c in cases)
    test_cases = tuple(
        Case(
            c.id,
            c.images,
            c.label if c.label and c.label.exists() else None,
            extra[0].get(c.id, ()),
            extra[1].get(c.id),
        )
        for c in _found_cases(folder, "Ts", ending)
    )
    return Dataset(folder.name, folder, channel_names, labels, ending, cases, test_cases, values)


def read_channel_names(values: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The names of the channels in order, from `channel_names` or the older `modality`."""
    channels = values.get("channel_names", values.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise FormatError(path, "missing key 'channel_names'.", 'Add for example "channel_names": {"0": "CT"}.')
    expected = [str(i) for i in range(len(channels))]
    if sorted(channels, key=str) != sorted(expected):
        raise FormatError(path, f"channel_names must be numbered {', '.join(expected)}, not {', '.join(channels)}.")
    return tuple(str(channels[key]) for key in expected)


def read_labels_entry(values: dict[str, Any], path: Path) -> Labels:
    """The `labels` of a dataset.json, with regions, region order and ignore label; older {"0": "background"} too."""
    entry = values.get("labels")
    if not isinstance(entry, dict) or not entry:
        raise FormatError(path, "missing key 'labels'.", 'Add for example "labels": {"background": 0, "liver": 1}.')
    if all(str(key).isdecimal() and isinstance(name, str) for key, name in entry.items()):
        entry = {name: int(key) for key, name in entry.items()}
    classes = {str(name): _label_values(name, value, path) for name, value in entry.items()}
    if classes.pop("background", None) != (0,):
        raise FormatError(path, "labels must hold 'background' with the value 0.")
    ignore = classes.pop("ignore", None)
    if not classes:
        raise FormatError(path, "labels must hold at least one class besides the background.")
    order = _region_values(values, classes, path)
    plain = sorted({v for vs in classes.values() for v in vs})
    _check_consecutive(plain, ignore, path)
    return Labels(classes, ignore[0] if ignore else None, order)


def _label_values(name: Any, value: Any, path: Path) -> tuple[int, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values):
        raise FormatError(path, f"the label {name!r} must be a whole number or a list of them, not {value!r}.")
    return tuple(values)


def _region_values(values: dict[str, Any], classes: dict[str, tuple[int, ...]], path: Path) -> tuple[int, ...]:
    if not any(len(v) > 1 for v in classes.values()) and "regions_class_order" not in values:
        return ()
    order = values.get("regions_class_order")
    if not isinstance(order, list) or len(order) != len(classes) or not all(isinstance(v, int) for v in order):
        raise FormatError(
            path,
            f"regions_class_order must list {len(classes)} values, one for each of {', '.join(classes)}; it is {order!r}.",
        )
    return tuple(order)


def _check_consecutive(plain: list[int], ignore: tuple[int, ...] | None, path: Path) -> None:
    if plain != list(range(1, len(plain) + 1)):
        raise FormatError(
            path,
            f"label values must be consecutive from 1, not {plain}.",
            "Renumber them, or convert the dataset with autoseg_convert, which does.",
        )
    if ignore is not None and ignore != (plain[-1] + 1,):
        raise FormatError(path, f"the ignore label must be the highest value, {plain[-1] + 1}, not {list(ignore)}.")


def _found_cases(folder: Path, part: str, ending: str) -> tuple[Case, ...]:
    """Cases by the names of their image files, CASE_0000.ending; also those that only have a label."""
    channels: dict[str, list[Path]] = {}
    images, labels = folder / f"images{part}", folder / f"labels{part}"
    for path in sorted(images.glob(f"*{ending}")) if images.is_dir() else []:
        stem = path.name[: -len(ending)]
        case_id, separator, number = stem.rpartition("_")
        if separator and len(number) == 4 and number.isdecimal():
            channels.setdefault(case_id, []).append(path)
    return tuple(
        Case(case_id, tuple(files), labels / f"{case_id}{ending}") for case_id, files in sorted(channels.items())
    )


def _listed_cases(values: dict[str, Any], folder: Path, path: Path) -> tuple[Case, ...]:
    """Cases of the optional `dataset` map, whose paths may lie anywhere and may hold environment variables."""
    cases = []
    for case_id, files in sorted(values["dataset"].items()):
        if not isinstance(files, dict) or not isinstance(files.get("images"), list) or "label" not in files:
            raise FormatError(path, f"dataset.{case_id} must hold 'images' (a list) and 'label'.")
        images = tuple(_anywhere(name, folder) for name in files["images"])
        cases.append(Case(case_id, images, _anywhere(files["label"], folder)))
    return tuple(cases)


def _anywhere(name: str, folder: Path) -> Path:
    path = Path(os.path.expandvars(name)).expanduser()
    return path if path.is_absolute() else folder / path


def _case_facts(
    values: dict[str, Any], labels: Labels, path: Path
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """autoseg's two additions to the format: `not_contoured` {case: [class]} and `patients` {case: patient}."""
    not_contoured = {case: tuple(names) for case, names in values.get("not_contoured", {}).items()}
    for case, names in not_contoured.items():
        unknown = sorted(set(names) - set(labels.names))
        if unknown:
            raise FormatError(path, f"not_contoured.{case} names {unknown[0]!r}, which is not among the labels.")
    return not_contoured, {case: str(patient) for case, patient in values.get("patients", {}).items()}
