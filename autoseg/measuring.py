"""What one case tells about itself: grid, crop, classes and intensities, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.air import count_in_air
from autoseg.cropping import nonzero_box
from autoseg.dataset import Case
from autoseg.errors import AutosegError, FileError
from autoseg.geometry import Box, Geometry, Triple
from autoseg.intensities import IntensitySample, sample_intensities
from autoseg.labels import Labels
from autoseg.memory import available_memory_bytes

if TYPE_CHECKING:
    from autoseg.io import Volume

BYTES_PER_CHANNEL, BYTES_PER_VOXEL = 8, 16
"""Held per voxel while a case is measured: a channel as float32 and what is copied of it; labels, masks, components."""
MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class ClassMeasure:
    """One class in one case where it is present.

    components: parts connected over voxel faces. box_mm: edges of the bounding box (z, y, x). centre_mm: world
    (x, y, z). in_air: voxels far from all tissue, see air.count_in_air; 0 where no channel is a CT.
    """

    volume_mm3: float
    components: int
    box_mm: Triple
    centre_mm: Triple
    in_air: int


@dataclass(frozen=True, eq=False)
class CaseMeasure:
    """One case. classes: those that are present, by name. intensities: one sample per channel."""

    id: str
    geometry: Geometry
    cropped_shape: tuple[int, int, int]
    not_contoured: tuple[str, ...]
    classes: dict[str, ClassMeasure]
    intensities: tuple[IntensitySample, ...]


def affordable_readers(cases: Sequence[Case]) -> int:
    """How many cases, each as large as the largest, can be checked or measured at once in the free memory; at least 1.

    By the headers; a file that cannot be read is left to the check.
    """
    from autoseg.io import read_geometry

    most = 1.0
    for case in cases:
        with suppress(AutosegError):
            voxels = float(np.prod(read_geometry(case.images[0]).shape))
            most = max(most, voxels * (BYTES_PER_CHANNEL * len(case.images) + BYTES_PER_VOXEL))
    return max(1, int(available_memory_bytes() * MEMORY_SHARE / most))


def measure_case(case: Case, labels: Labels, points: int, *, ct: int | None = None) -> CaseMeasure:
    """Read and measure a labelled case. points: how many intensities are kept per channel. ct: the channel in HU.

    Raises FileError where a file cannot be read, or where image and label lie on different grids.
    """
    from autoseg.io import read_image, read_labels

    image = read_image(case.images)
    if case.label is None:
        raise FileError(case.images[0], f"the training case {case.id} has no label file.")
    return measure_volumes(case, image, read_labels(case.label), labels, points, ct=ct)


def measure_volumes(
    case: Case, image: Volume, label: Volume, labels: Labels, points: int, *, ct: int | None = None
) -> CaseMeasure:
    """The same of volumes that were read: (C, Z, Y, X) and (Z, Y, X), left as they are."""
    assert case.label is not None
    if label.array.shape != image.array.shape[1:]:
        raise FileError(
            case.label,
            f"has {label.array.shape} voxels (z, y, x), but its image has {image.array.shape[1:]}.",
            "Run autoseg_plan_and_preprocess --check-only for a table of all findings.",
        )
    box = nonzero_box(image.array)
    foreground = _foreground(label.array[box.slices], labels)
    return CaseMeasure(
        case.id,
        image.geometry,
        (box.shape[0], box.shape[1], box.shape[2]),
        case.not_contoured,
        _measure_classes(label.array, labels, image.geometry, None if ct is None else image.array[ct]),
        tuple(sample_intensities(channel[box.slices][foreground], points) for channel in image.array),
    )


def _foreground(label: np.ndarray, labels: Labels) -> np.ndarray:
    """Voxels of any class; not those that nobody annotated."""
    return (label > 0) if labels.ignore is None else (label > 0) & (label != labels.ignore)


def _measure_classes(
    label: np.ndarray, labels: Labels, geometry: Geometry, ct: np.ndarray | None
) -> dict[str, ClassMeasure]:
    from scipy.ndimage import find_objects

    boxes = find_objects(label)
    found = {}
    for name, values in labels.classes.items():
        parts = [boxes[value - 1] for value in values if 0 < value <= len(boxes) and boxes[value - 1] is not None]
        if parts:
            box = _union(parts)
            mask = labels.mask(label[box.slices], name)
            in_air = 0 if ct is None else count_in_air(mask, box, ct, geometry.spacing_mm)
            found[name] = _measure_class(mask, box, geometry, in_air)
    return found


def _union(parts: list[Any]) -> Box:
    """The smallest box around several tuples of slices."""
    return Box(
        tuple(min(part[axis].start for part in parts) for axis in range(3)),
        tuple(max(part[axis].stop for part in parts) for axis in range(3)),
    )


def _measure_class(mask: np.ndarray, box: Box, geometry: Geometry, in_air: int) -> ClassMeasure:
    """mask: (z, y, x) bool inside the box, with at least one true voxel."""
    from scipy.ndimage import label as connected

    voxels = int(np.count_nonzero(mask))
    centre = [_mean_index(mask, axis, voxels) + box.start[axis] for axis in range(3)]
    x, y, z = geometry.voxel_to_world(np.array(centre))
    edges = [n * step for n, step in zip(box.shape, geometry.spacing_mm, strict=True)]
    return ClassMeasure(
        voxels * geometry.voxel_volume_mm3,
        int(connected(mask)[1]),
        (edges[0], edges[1], edges[2]),
        (float(x), float(y), float(z)),
        in_air,
    )


def _mean_index(mask: np.ndarray, axis: int, voxels: int) -> float:
    others = tuple(other for other in range(3) if other != axis)
    return float(np.count_nonzero(mask, axis=others) @ np.arange(mask.shape[axis]) / voxels)
