"""Task folders of the Medical Segmentation Decathlon: 4D images become channels, labels are renumbered if needed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.io import Volume
    from dataset_conversion.writer import CaseContent, SourceCase

ENDINGS = (".nii.gz", ".nii")
TEXTS = ("name", "description", "reference", "licence", "license", "release")


class MsdConverter:
    """autoseg_convert msd Task04_Hippocampus -d 4."""

    summary = "a task folder of the Medical Segmentation Decathlon"
    needs_source = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The task's dataset.json says everything but which classes are to be one."""
        parser.add_argument(
            "--merge",
            type=_merge,
            action="append",
            default=[],
            metavar="CLASS:CLASS",
            help="make a class part of another: tumour:liver",
        )

    def dataset_name(self, source: Path, options: argparse.Namespace) -> str:
        """The task's own name."""
        from dataset_conversion.naming import plain_name

        return plain_name(str(_read_task(source).get("name") or source.name.partition("_")[2] or source.name))

    def convert(
        self, source: Path, folder: Path, options: argparse.Namespace, progress: Callable[[int, int], None] | None
    ) -> None:
        """Write the dataset."""
        convert_msd(source, folder, merged=dict(options.merge), workers=options.workers, progress=progress)


def convert_msd(
    source: Path,
    folder: Path,
    *,
    merged: Mapping[str, str] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Convert a task folder (dataset.json with a `training` list) into a raw dataset in `folder`.

    Test images come from imagesTs, their labels from labelsTs where there is one. Files that need no change are copied
    byte by byte. merged: see merge_classes. Raises FormatError for a dataset.json that is not a task's, and what
    merge_classes and write_dataset raise.
    """
    from autoseg.dataset import read_channel_names
    from dataset_conversion.writer import DatasetFacts, write_dataset

    task, path = _read_task(source), source / "dataset.json"
    channel_names = read_channel_names(task, path)
    classes = merge_classes(_read_classes(task, path), merged or {})
    labels = {name: number for number, name in enumerate(dict.fromkeys(classes.values()), start=1)}
    renumbering = {0: 0, **{value: labels[name] for value, name in classes.items()}}
    convert_case = _CaseConverter(len(channel_names), renumbering)
    cases = [convert_case.source_case("Tr", image, label) for image, label in _training_files(task, source)]
    cases += [convert_case.source_case("Ts", image, label) for image, label in _test_files(source)]
    texts = {key: task[key] for key in TEXTS if key in task}
    write_dataset(folder, cases, DatasetFacts(channel_names, labels, texts), workers=workers, progress=progress)


def merge_classes(classes: dict[int, str], merged: Mapping[str, str]) -> dict[int, str]:
    """Label values to the names of the classes that they become.

    classes: label values to names. merged: from the name of a part to the name of its whole; case does not count, and a
    tumour may be called so where the task says tumor or cancer. OptionError for a name that is no class.
    """
    from autoseg.errors import OptionError, unknown_name

    known = {_spelling(name): name for name in classes.values()} | {name: name for name in classes.values()}
    becomes = {}
    for pair in merged.items():
        part, whole = (known.get(name) or known.get(_spelling(name)) for name in pair)
        if part is None or whole is None:
            raise unknown_name("class", pair[0] if part is None else pair[1], classes.values())
        becomes[part] = whole
    for part, whole in becomes.items():
        if whole in becomes:
            raise OptionError(
                f"--merge {part}:{whole} ends in a class that is itself to become part of {becomes[whole]}.",
                "Name the class that is to remain.",
            )
    return {value: becomes.get(name, name) for value, name in classes.items()}


def _spelling(name: str) -> str:
    return "tumour" if name.casefold() in ("tumor", "cancer") else name.casefold()


def _merge(text: str) -> tuple[str, str]:
    part, _, whole = text.partition(":")
    if not part or not whole:
        raise argparse.ArgumentTypeError(f"{text!r} is not like tumour:liver")
    return part, whole


class _CaseConverter:
    """Turns a pair of files into a case. renumbering: the label values of the source to those of the dataset."""

    def __init__(self, channel_count: int, renumbering: dict[int, int]) -> None:
        self.channel_count = channel_count
        self.renumbering = renumbering

    def source_case(self, part: str, image: Path, label: Path | None) -> SourceCase:
        """The case of an image and its label, which are not opened yet."""
        from dataset_conversion.writer import SourceCase

        files = (image,) if label is None else (image, label)
        settings = sorted(self.renumbering.items())
        return SourceCase(_stem(image), part, files, lambda: self._load(image, label), settings)

    def _load(self, image: Path, label: Path | None) -> CaseContent:
        from dataset_conversion.writer import CaseContent

        return CaseContent(self._images(image), None if label is None else self._label(label))

    def _images(self, path: Path) -> tuple[Path | Volume, ...]:
        from autoseg.io import Volume, read_channels
        from autoseg.io.nifti import read_header

        if self.channel_count == 1 and len(read_header(path).shape) == 3:
            return (path,)
        volume = read_channels(path)
        return tuple(Volume(channel, volume.geometry) for channel in volume.array)

    def _label(self, path: Path) -> Path | Volume:
        if all(old == new for old, new in self.renumbering.items()):
            return path
        return renumber(path, self.renumbering)


def renumber(path: Path, renumbering: dict[int, int]) -> Volume:
    """Read a label file and replace its values. FileError for a value that renumbering does not hold."""
    import numpy as np

    from autoseg.errors import FileError
    from autoseg.io import Volume, read_labels

    volume = read_labels(path)
    values, places = np.unique(volume.array, return_inverse=True)
    unknown = sorted(set(values.tolist()) - set(renumbering))
    if unknown:
        raise FileError(path, f"holds the label values {unknown}, which dataset.json does not declare.")
    table = np.array([renumbering[int(value)] for value in values], dtype=np.int16)
    return Volume(table[places].reshape(volume.array.shape), volume.geometry)


def _read_task(source: Path) -> dict[str, Any]:
    from autoseg.errors import FormatError
    from autoseg.files import read_json

    task = read_json(source / "dataset.json")
    if not isinstance(task, dict) or not isinstance(task.get("training"), list):
        raise FormatError(
            source / "dataset.json",
            "has no list 'training' of images and labels, so this is not a Decathlon task folder.",
            "A dataset in nnU-Net's layout needs no conversion: copy it to raw/ under the root.",
        )
    return task


def _read_classes(task: dict[str, Any], path: Path) -> dict[int, str]:
    """Label values to names in ascending order, without the background, which is 0."""
    from autoseg.errors import FormatError

    entry = task.get("labels")
    if not isinstance(entry, dict) or not all(key.isdecimal() and isinstance(name, str) for key, name in entry.items()):
        raise FormatError(path, f'labels must be like {{"0": "background", "1": "liver"}}, not {entry!r}.')
    classes = {int(key): name for key, name in sorted(entry.items(), key=lambda item: int(item[0])) if int(key) != 0}
    if not classes or len(set(classes.values()) | {"background"}) <= len(classes):
        raise FormatError(path, "labels must hold classes of different names besides the background.")
    return classes


def _training_files(task: dict[str, Any], source: Path) -> list[tuple[Path, Path]]:
    from autoseg.errors import FormatError

    files = []
    for number, entry in enumerate(task["training"]):
        image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if not isinstance(image, str) or not isinstance(label, str):
            raise FormatError(source / "dataset.json", f"training[{number}] must hold 'image' and 'label'.")
        files.append((source / image, source / label))
    return files


def _test_files(source: Path) -> list[tuple[Path, Path | None]]:
    from autoseg.dataset import visible_files

    images = [path for path in visible_files(source / "imagesTs") if path.name.endswith(ENDINGS)]
    labels = {_stem(path): path for path in visible_files(source / "labelsTs") if path.name.endswith(ENDINGS)}
    return [(image, labels.get(_stem(image))) for image in images]


def _stem(path: Path) -> str:
    for ending in ENDINGS:
        if path.name.endswith(ending):
            return path.name[: -len(ending)]
    return path.stem
