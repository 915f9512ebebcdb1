"""From a volume to a prepared case. Undoing it stands in restore.py, driven by the record made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from autoseg.cropping import nonzero_box, nonzero_mask
from autoseg.errors import DatasetError, GeometryError
from autoseg.geometry import Box, Geometry, Triple
from autoseg.io import Volume
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.normalization import NormalizedChannel, normalized
from autoseg.preprocessing.resampling import resample_image, resample_labels, resampled_shape, separate_axis

Shape3 = tuple[int, int, int]
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class CaseRecord:
    """What was done to a volume, so that it can be undone; all but the geometry is in the plan's axis order.

    geometry: of the source volume (z, y, x). transpose: transpose[a] is the volume's axis that became axis a. crop: the
    part of the transposed volume that was kept. cropped_shape, prepared_shape: before and after resampling.
    source_spacing_mm, spacing_mm: likewise. not_contoured: classes that nobody looked for in this case.
    """

    case_id: str
    geometry: Geometry
    transpose: Shape3
    crop: Box
    cropped_shape: Shape3
    prepared_shape: Shape3
    source_spacing_mm: Triple
    spacing_mm: Triple
    not_contoured: tuple[str, ...] = ()

    @property
    def separate_axis(self) -> int | None:
        """The axis that takes the nearest slice in resampling, see resampling.separate_axis."""
        return separate_axis(self.source_spacing_mm, self.spacing_mm)


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case on the grid of a stage. image: (C, z, y, x) float32, normalised. labels: (z, y, x) int16 or None."""

    image: np.ndarray
    labels: np.ndarray | None
    record: CaseRecord


def prepare(
    volume: Volume,
    labels: Volume | None,
    plans: Plans,
    stage: StagePlan,
    *,
    case_id: str,
    not_contoured: tuple[str, ...] = (),
) -> PreparedCase:
    """Transpose, crop to the non-zero part, normalise and resample; the volume is left as it is.

    volume: (C, Z, Y, X), as many channels as the plans have. labels: (Z, Y, X) on the same grid. Raises DatasetError
    for another number of channels or for voxels that are NaN or infinite, GeometryError where the grids differ.
    """
    check_volume(volume, labels, plans, case_id)
    transposed = volume.array.transpose(0, *[axis + 1 for axis in plans.transpose])
    record = _record(transposed, volume.geometry, plans, stage, case_id, not_contoured)
    channels = _normalized(transposed[(slice(None), *record.crop.slices)], plans)
    image = resample_image(channels, record.prepared_shape, record.separate_axis)
    if labels is None:
        return PreparedCase(image, None, record)
    cropped = labels.array.transpose(plans.transpose)[record.crop.slices]
    return PreparedCase(image, resample_labels(cropped, record.prepared_shape, record.separate_axis), record)


def target_spacing_mm(spacing_mm: Sequence[float], stage: StagePlan) -> Triple:
    """The spacing that a case is resampled to; a 2D stage leaves axis 0 as it is. spacing_mm: in plan order."""
    first, *others = (spacing_mm[0], *stage.spacing_mm) if stage.is_2d else stage.spacing_mm
    return first, others[0], others[1]


def check_volume(volume: Volume, labels: Volume | None, plans: Plans, case_id: str) -> None:
    """Raise what prepare() does for a volume (C, Z, Y, X), and labels (Z, Y, X), that cannot be prepared."""
    if volume.array.ndim != 4 or len(volume.array) != len(plans.channels):
        names = ", ".join(channel.name for channel in plans.channels)
        raise DatasetError(
            f"{case_id}: the plans need {len(plans.channels)} channels ({names}), the volume has the shape "
            f"{volume.array.shape}.",
            "Give one image per channel, in the order of dataset.json.",
        )
    if not np.isfinite([volume.array.min(), volume.array.max()]).all():
        count = np.count_nonzero(~np.isfinite(volume.array))
        raise DatasetError(
            f"{case_id}: the image holds {count} non-finite voxels (NaN or infinity).",
            "Replace them by the value of air or of the background.",
        )
    if labels is not None and not volume.geometry.matches(labels.geometry):
        raise GeometryError(
            f"{case_id}: image {volume.geometry.shape} and labels {labels.geometry.shape} lie on different grids.",
            "Resample the labels to the image's grid.",
        )


def _record(
    transposed: np.ndarray,
    geometry: Geometry,
    plans: Plans,
    stage: StagePlan,
    case_id: str,
    not_contoured: tuple[str, ...],
) -> CaseRecord:
    """transposed: (C, z, y, x) in plan order, uncropped."""
    crop = nonzero_box(transposed)
    spacing = [geometry.spacing_mm[axis] for axis in plans.transpose]
    target = target_spacing_mm(spacing, stage)
    shape = resampled_shape(crop.shape, spacing, target)
    return CaseRecord(
        case_id=case_id,
        geometry=geometry,
        transpose=in_three(plans.transpose),
        crop=crop,
        cropped_shape=in_three(crop.shape),
        prepared_shape=in_three(shape),
        source_spacing_mm=(spacing[0], spacing[1], spacing[2]),
        spacing_mm=target,
        not_contoured=not_contoured,
    )


def _normalized(cropped: np.ndarray, plans: Plans) -> list[NormalizedChannel]:
    """The channels of (C, z, y, x), each normalised where it is read."""
    mask = nonzero_mask(cropped) if any(channel.masked for channel in plans.channels) else None
    return [normalized(values, channel, mask) for values, channel in zip(cropped, plans.channels, strict=True)]


def in_three(values: Sequence[Number]) -> tuple[Number, Number, Number]:
    """A sequence of three as a tuple of three."""
    first, second, third = values
    return first, second, third
