"""A folder per patient with one binary mask per organ; an organ without a file was not contoured.

SOURCE/[train|test]/PATIENT/ct.nii.gz
SOURCE/[train|test]/PATIENT/structures/Brainstem.nii.gz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_conversion.mask_names import ENDINGS, MaskNames, parse_aliases, split_names, stem
from dataset_conversion.sites import SITES

if TYPE_CHECKING:
    from dataset_conversion.writer import CaseContent, SourceCase


class OrganMasksConverter:
    """autoseg_convert organ_masks SOURCE -d 10."""

    summary = "a folder per patient with an image and a mask per organ"
    needs_source = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where things lie, what organs are called, and which is on top."""
        parser.add_argument(
            "--image",
            action="append",
            metavar="FILE",
            help="the image in a patient's folder, once for each channel (ct.nii.gz)",
        )
        parser.add_argument(
            "--channel-name",
            action="append",
            metavar="NAME",
            help="what a channel is, which decides its normalisation (the file's name: CT)",
        )
        parser.add_argument(
            "--masks",
            default="structures",
            metavar="FOLDER",
            help="of the masks in a patient's folder (structures), or . for beside the image",
        )
        parser.add_argument(
            "--site",
            choices=tuple(SITES),
            help="know its organs in whatever spelling, and leave out all else (every mask, by its own name)",
        )
        parser.add_argument(
            "--alias", action="append", default=[], metavar="ORGAN=FILE[,FILE]", help="other names of an organ's file"
        )
        parser.add_argument(
            "--organs", metavar="ORGAN,ORGAN", help="only these, in the order of their label values (all)"
        )
        parser.add_argument(
            "--priority",
            default="",
            metavar="ORGAN,ORGAN",
            help="who keeps the voxels where organs overlap, the first on top (else the smaller organ)",
        )

    def dataset_name(self, source: Path, options: argparse.Namespace) -> str:
        """The name of the source's folder."""
        from dataset_conversion.naming import plain_name

        return plain_name(source.resolve().name)

    def convert(
        self, source: Path, folder: Path, options: argparse.Namespace, progress: Callable[[int, int], None] | None
    ) -> None:
        """Write the dataset."""
        images = tuple(options.image or ["ct.nii.gz"])
        site = SITES[options.site] if options.site else None
        layout = MaskLayout(
            images=images,
            channel_names=tuple(options.channel_name or [stem(name).upper() for name in images]),
            masks=options.masks,
            names=MaskNames(parse_aliases(options.alias), site),
            organs=split_names(options.organs or ""),
            priority=split_names(options.priority),
        )
        convert_organ_masks(source, folder, layout, workers=options.workers, progress=progress)


@dataclass(frozen=True)
class MaskLayout:
    """Where the files of a patient lie and what they mean.

    images: names of the image files, one per channel. masks: the folder with the masks. names: which organ a mask is
    of. organs: the only organs to convert, in the order of their values; all where empty, as the site orders them, or
    by name. priority: organs that keep their voxels in an overlap, the first on top.
    """

    images: tuple[str, ...] = ("ct.nii.gz",)
    channel_names: tuple[str, ...] = ("CT",)
    masks: str = "structures"
    names: MaskNames = field(default_factory=MaskNames)
    organs: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from autoseg.errors import OptionError

        if len(self.images) != len(self.channel_names):
            raise OptionError(
                f"There are {len(self.images)} images and {len(self.channel_names)} channel names.",
                "Give --channel-name once for each --image.",
            )


@dataclass(frozen=True)
class _Patient:
    """part: "Tr" or "Ts". masks: organ to file. unknown: names of masks that are of no organ."""

    id: str
    part: str
    images: tuple[Path, ...]
    masks: dict[str, Path]
    unknown: tuple[str, ...]


def convert_organ_masks(
    source: Path,
    folder: Path,
    layout: MaskLayout,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Convert folders of patients into a raw dataset in `folder`.

    Patients lie in source/train and source/test, or directly in source, all for training then. Organs that a patient
    has no file of are recorded as not contoured. An empty mask says that the organ was looked for and is not there. The
    windows of a site are written into dataset.json.
    Raises DatasetError for a source without patients or masks, OptionError for an organ that no patient has.
    """
    from dataset_conversion.writer import DatasetFacts, write_dataset

    patients = _find_patients(source, layout)
    organs = _choose_organs(patients, layout)
    cases = [_source_case(patient, organs, layout) for patient in patients]
    labels = {organ: value for value, organ in enumerate(organs, start=1)}
    facts = DatasetFacts(layout.channel_names, labels, {"name": source.resolve().name, **_windows(layout)})
    write_dataset(folder, cases, facts, workers=workers, progress=progress)


def _windows(layout: MaskLayout) -> dict[str, dict[str, tuple[float, float]]]:
    """The entry of the site's windows, in HU; empty where the first channel, which pictures show, is no CT."""
    from autoseg.air import ct_channel

    if layout.names.site is None or ct_channel(layout.channel_names) != 0:
        return {}
    return {"windows": {name: window.range_hu for name, window in layout.names.site.windows.items()}}


def _find_patients(source: Path, layout: MaskLayout) -> list[_Patient]:
    from autoseg.errors import DatasetError, FileError

    if not source.is_dir():
        raise FileError(source, "is not a folder.")
    folders = [(part, source / name) for part, name in (("Tr", "train"), ("Ts", "test")) if (source / name).is_dir()]
    patients = [
        _read_patient(path, part, layout)
        for part, folder in folders or [("Tr", source)]
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]
    if not patients:
        raise DatasetError(f"{source} holds no folder of a patient.", "Give the folder that holds one per patient.")
    return patients


def _read_patient(folder: Path, part: str, layout: MaskLayout) -> _Patient:
    from autoseg.dataset import visible_files
    from autoseg.errors import DatasetError

    masks: dict[str, Path] = {}
    unknown = []
    for path in visible_files(folder / layout.masks):
        if not path.name.endswith(ENDINGS) or path.name in layout.images:
            continue
        organ = layout.names.organ_of(stem(path.name))
        if organ is None:
            unknown.append(stem(path.name))
            continue
        if organ in masks:
            raise DatasetError(
                f"{folder}: {masks[organ].name} and {path.name} are both {organ}.", "Remove one, or one alias."
            )
        masks[organ] = path
    return _Patient(folder.name, part, tuple(folder / name for name in layout.images), masks, tuple(unknown))


def _choose_organs(patients: Sequence[_Patient], layout: MaskLayout) -> tuple[str, ...]:
    from autoseg.errors import DatasetError, OptionError

    found = layout.names.in_order(organ for patient in patients for organ in patient.masks)
    layout.names.report(found, [name for patient in patients for name in patient.unknown])
    if not found:
        raise DatasetError(f"No patient has a mask in {layout.masks}/.", "Say with --masks where they lie.")
    for option, names in (("--organs", layout.organs), ("--priority", layout.priority)):
        unknown = [name for name in names if name not in found]
        if unknown:
            raise OptionError(f"{option} names {unknown[0]!r}, which no patient has.", f"Found: {', '.join(found)}.")
    return layout.organs or found


def _source_case(patient: _Patient, organs: tuple[str, ...], layout: MaskLayout) -> SourceCase:
    from dataset_conversion.writer import SourceCase

    masks = {organ: patient.masks[organ] for organ in organs if organ in patient.masks}
    return SourceCase(
        patient.id,
        patient.part,
        (*patient.images, *masks.values()),
        lambda: _load(patient.images, masks, organs, layout.priority),
        {"organs": organs, "files": {organ: path.name for organ, path in masks.items()}, "priority": layout.priority},
        tuple(organ for organ in organs if organ not in masks),
    )


def _load(
    images: tuple[Path, ...], masks: dict[str, Path], organs: tuple[str, ...], priority: tuple[str, ...]
) -> CaseContent:
    from autoseg.io import read_geometry
    from dataset_conversion.merging import merge_masks, read_mask
    from dataset_conversion.writer import CaseContent

    geometry = read_geometry(images[0])
    volumes = {organ: read_mask(path, geometry) for organ, path in masks.items()}
    return CaseContent(images, merge_masks(volumes, organs, geometry, priority))
