"""What was measured of a dataset: everything that a planner may know about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.air import ct_channel
from autoseg.dataset import Case, Dataset
from autoseg.errors import DatasetError
from autoseg.files import checksum_of, read_artefact, write_json
from autoseg.geometry import Triple
from autoseg.intensities import merge_samples, points_per_case
from autoseg.labels import Labels
from autoseg.measuring import CaseMeasure, ClassMeasure, measure_case, measure_volumes
from autoseg.parallel import in_threads
from autoseg.plans import IntensityStatistics
from autoseg.symmetry import Placement, is_mirrored, name_pairs

if TYPE_CHECKING:
    from autoseg.io import Volume

FINGERPRINT_SCHEMA = 2
UNKNOWN_INTENSITIES = IntensityStatistics(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
Pairs = tuple[tuple[str, str], ...]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Quantiles:
    """Of one quantity over cases."""

    minimum: float
    quarter: float
    median: float
    three_quarters: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantiles | None:
        """The quantiles of the values, or None where there are none."""
        return cls(*(float(q) for q in np.percentile(values, [0, 25, 50, 75, 100]))) if values else None


@dataclass(frozen=True)
class CaseFacts:
    """The grid of one case, in the volume's axis order (z, y, x).

    cropped_shape: of the box around everything that is not zero. left_right_axis: the array axis that runs most nearly
    from left to right of the patient.
    """

    spacing_mm: Triple
    shape: tuple[int, int, int]
    cropped_shape: tuple[int, int, int]
    left_right_axis: int = 2


@dataclass(frozen=True)
class ClassFacts:
    """One class over all cases.

    present: cases that have it. contoured: cases in which somebody looked for it. prevalence: present / all cases;
    prevalence_of_contoured: present / contoured. The rest is over the cases that have it; box_mm: edges of the bounding
    box along the volume's axes (z, y, x); all None where no case has it.
    """

    present: int
    contoured: int
    prevalence: float
    prevalence_of_contoured: float
    volume_mm3: Quantiles | None = None
    components: Quantiles | None = None
    box_mm: tuple[Quantiles, Quantiles, Quantiles] | None = None
    in_air: int = 0


@dataclass(frozen=True)
class Fingerprint:
    """What was measured of the training cases of a dataset.

    made_from: checksum of dataset.json and of the names, sizes and times of all files; see source_checksum.
    intensities: of the foreground, one entry per channel. pairs: (left, right) class names whose positions are
    mirrored too; unconfirmed_pairs: by name alone.
    """

    dataset_name: str
    made_from: str
    channels: tuple[str, ...]
    cases: dict[str, CaseFacts]
    classes: dict[str, ClassFacts]
    intensities: tuple[IntensityStatistics, ...]
    pairs: Pairs = ()
    unconfirmed_pairs: Pairs = ()
    schema: int = FINGERPRINT_SCHEMA

    @classmethod
    def from_summary(
        cls, spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]], *, labels: int, channels: int = 1
    ) -> Fingerprint:
        """A fingerprint without measured volumes, enough to plan with.

        spacings: (n, 3) mm; shapes: (n, 3) voxels after cropping, both (z, y, x). labels: how many, with the background
        (and an ignore label, where there is one). channels: how many; each is treated as MR.
        """
        cases = {
            f"case_{number:05d}": CaseFacts(_triple(spacing), _shape(shape), _shape(shape))
            for number, (spacing, shape) in enumerate(zip(spacings, shapes, strict=True))
        }
        everywhere = ClassFacts(len(cases), len(cases), 1.0, 1.0)
        names = tuple(f"channel_{number}" for number in range(channels))
        classes = {f"class_{value}": everywhere for value in range(1, labels)}
        return cls("Dataset000_Summary", "", names, cases, classes, (UNKNOWN_INTENSITIES,) * channels)

    @property
    def spacings(self) -> np.ndarray:
        """(n, 3) mm, axes (z, y, x)."""
        return np.array([case.spacing_mm for case in self.cases.values()], dtype=float)

    @property
    def cropped_shapes(self) -> np.ndarray:
        """(n, 3) voxels, axes (z, y, x)."""
        return np.array([case.cropped_shape for case in self.cases.values()], dtype=int)

    @property
    def median_relative_size(self) -> float:
        """The median over cases of voxels after cropping / voxels before."""
        before = np.array([case.shape for case in self.cases.values()], dtype=float).prod(axis=1)
        return float(np.median(self.cropped_shapes.prod(axis=1) / before))

    @property
    def left_right_axes(self) -> tuple[int, ...]:
        """The volume axes that run from left to right in some case, the most frequent first."""
        axes = [case.left_right_axis for case in self.cases.values()]
        return tuple(sorted(set(axes), key=lambda axis: (-axes.count(axis), axis)))

    @property
    def checksum(self) -> str:
        """What plans carry to tell which fingerprint they were made from."""
        return checksum_of(self)

    @property
    def plain_labels(self) -> Labels:
        """The classes as exclusive labels 1, 2, ...: for a fingerprint that was made from a summary."""
        return Labels({name: (value,) for value, name in enumerate(self.classes, 1)})


@dataclass(frozen=True)
class Onlooker:
    """Measures cases of a dataset that somebody else reads; may be called by several threads. measures: by case.

    made_from: see Fingerprint, of before the first is read: what changes meanwhile is measured again the next time.
    """

    dataset: Dataset
    made_from: str
    measures: dict[str, CaseMeasure] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset) -> Onlooker:
        """One that has seen nothing yet."""
        return cls(dataset, source_checksum(dataset))

    def __call__(self, case: Case, image: Volume, label: Volume) -> None:
        """image: (C, Z, Y, X). label: (Z, Y, X)."""
        points, ct = points_per_case(len(self.dataset.cases)), ct_channel(self.dataset.channel_names)
        self.measures[case.id] = measure_volumes(case, image, label, self.dataset.labels, points, ct=ct)


def measure_fingerprint(
    dataset: Dataset,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    onlooker: Onlooker | None = None,
) -> Fingerprint:
    """Measure all training cases, one at a time per worker; the result is the same for any number of workers.

    progress: called with the cases done and their total. onlooker: has measured cases already. Raises DatasetError
    where there is no case, or no voxel of any class; FileError where a file cannot be used.
    """
    if not dataset.cases:
        raise DatasetError(f"{dataset.name} has no training cases.", f"Put images into {dataset.folder / 'imagesTr'}.")
    points = points_per_case(len(dataset.cases))
    made_from = source_checksum(dataset) if onlooker is None else onlooker.made_from
    found = {} if onlooker is None else dict(onlooker.measures)
    ct = ct_channel(dataset.channel_names)
    left = [case for case in dataset.cases if case.id not in found]
    for measure in in_threads(lambda case: measure_case(case, dataset.labels, points, ct=ct), left, workers):
        found[measure.id] = measure
        if progress is not None:
            progress(len(found), len(dataset.cases))
    measures = [found[case.id] for case in dataset.cases]
    confirmed, unconfirmed = _pairs(measures, dataset.labels)
    return Fingerprint(
        dataset.name,
        made_from,
        dataset.channel_names,
        {measure.id: _case_facts(measure) for measure in measures},
        {name: _class_facts(name, measures) for name in dataset.labels.names},
        _intensities(dataset, measures),
        confirmed,
        unconfirmed,
    )


def source_checksum(dataset: Dataset) -> str:
    """What a fingerprint is made from: the meaning of the labels, and each file's name, size and time of change."""
    files = [path for case in dataset.cases for path in (*case.images, *([case.label] if case.label else []))]
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists()]
    cases = [(case.id, case.not_contoured) for case in dataset.cases]
    return checksum_of([FINGERPRINT_SCHEMA, dataset.channel_names, dataset.labels, cases, states])


def read_fingerprint(path: Path) -> Fingerprint:
    """Read a fingerprint.json; FormatError names the key that is unknown, missing or wrong."""
    return read_artefact(Fingerprint, path, remedy="Delete it and plan again.")


def write_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Write a fingerprint.json whole or not at all."""
    write_json(path, fingerprint)


def _case_facts(measure: CaseMeasure) -> CaseFacts:
    geometry = measure.geometry
    return CaseFacts(geometry.spacing_mm, geometry.shape, measure.cropped_shape, geometry.left_right_axis()[0])


def _class_facts(name: str, measures: Sequence[CaseMeasure]) -> ClassFacts:
    found: list[ClassMeasure] = [measure.classes[name] for measure in measures if name in measure.classes]
    contoured = sum(name not in measure.not_contoured or name in measure.classes for measure in measures)
    shares = len(found) / len(measures), len(found) / contoured if contoured else 0.0
    if not found:
        return ClassFacts(0, contoured, *shares)
    z, y, x = (Quantiles.of([measure.box_mm[axis] for measure in found]) for axis in range(3))
    assert z is not None
    assert y is not None
    assert x is not None
    return ClassFacts(
        len(found),
        contoured,
        *shares,
        Quantiles.of([measure.volume_mm3 for measure in found]),
        Quantiles.of([measure.components for measure in found]),
        (z, y, x),
        sum(measure.in_air for measure in found),
    )


def _intensities(dataset: Dataset, measures: Sequence[CaseMeasure]) -> tuple[IntensityStatistics, ...]:
    merged = [
        merge_samples([measure.intensities[channel] for measure in measures])
        for channel in range(len(dataset.channel_names))
    ]
    if None in merged:
        raise DatasetError(
            f"No training case of {dataset.name} has a voxel of any class.",
            f"Check the label files and their values; declared are {', '.join(dataset.labels.names)}.",
        )
    return tuple(statistics for statistics in merged if statistics)


def _pairs(measures: Sequence[CaseMeasure], labels: Labels) -> tuple[Pairs, Pairs]:
    """Pairs by name, split into those whose positions agree and those whose do not."""
    confirmed: list[tuple[str, str]] = []
    unconfirmed: list[tuple[str, str]] = []
    for left, right in name_pairs(labels.names):
        both = [m.classes for m in measures if left in m.classes and right in m.classes]
        placements = [
            Placement(c[left].centre_mm, c[right].centre_mm, c[left].volume_mm3, c[right].volume_mm3) for c in both
        ]
        (confirmed if is_mirrored(placements) else unconfirmed).append((left, right))
    return tuple(confirmed), tuple(unconfirmed)


def _triple(values: Sequence[float]) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])


def _shape(values: Sequence[int]) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])
