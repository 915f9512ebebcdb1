"""Regions of a volume, prepared one by one on grids of their own: as case.prepare does with the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg.cropping import nonzero_box, nonzero_mask
from autoseg.geometry import Box, Geometry
from autoseg.io import Volume
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.case import CaseRecord, PreparedCase, check_volume, in_three
from autoseg.preprocessing.normalization import NormalizedChannel, normalized
from autoseg.preprocessing.resampling import resample_image, resample_labels, resampled_shape


class RegionCutter:
    """Cuts regions out of a volume (C, Z, Y, X), which it holds; normalised as the whole volume would be.

    Raises DatasetError as case.prepare does.
    """

    def __init__(self, volume: Volume, plans: Plans, *, case_id: str = "case") -> None:
        check_volume(volume, None, plans, case_id)
        self.geometry, self.plans, self.case_id = volume.geometry, plans, case_id
        self._channels = _normalized(volume.array.transpose(0, *[axis + 1 for axis in plans.transpose]), plans)

    def cut(
        self, box: Box, stage: StagePlan, *, organ: str, labels: np.ndarray | None = None, name: str | None = None
    ) -> PreparedCase:
        """The region of an organ as the network of its stage sees it: mirrored where the stage asks for it.

        box: (z, y, x) inside the volume. labels: (Z, Y, X) of the whole volume; the result has them as they are, on the
        stage's grid. The record's geometry is that of the region alone, not mirrored. name: of the case.
        """
        record = self._record(box, stage, name or self.case_id)
        inside = tuple(box.slices[axis] for axis in self.plans.transpose)
        channels = [channel[inside] for channel in self._channels]
        image = resample_image(channels, record.prepared_shape, record.separate_axis)
        resampled = None
        if labels is not None:
            part = np.ascontiguousarray(labels.transpose(self.plans.transpose)[inside], dtype=np.int16)
            resampled = resample_labels(part, record.prepared_shape, record.separate_axis)
        if is_mirrored(stage, organ):
            image = mirrored(image, self.plans)
            resampled = None if resampled is None else mirrored(resampled, self.plans)
        return PreparedCase(image, resampled, record)

    def _record(self, box: Box, stage: StagePlan, name: str) -> CaseRecord:
        order = self.plans.transpose
        edges = tuple(box.shape[axis] for axis in order)
        source = in_three([self.geometry.spacing_mm[axis] for axis in order])
        target = in_three(stage.spacing_mm)
        return CaseRecord(
            case_id=name,
            geometry=part_of(self.geometry, box),
            transpose=in_three(order),
            crop=Box.whole(edges),
            cropped_shape=in_three(edges),
            prepared_shape=in_three(resampled_shape(edges, source, target)),
            source_spacing_mm=source,
            spacing_mm=target,
        )


def _normalized(transposed: np.ndarray, plans: Plans) -> list[NormalizedChannel]:
    """The whole channels, by what case.prepare finds in the part that is not zero. transposed: (C, z, y, x)."""
    crop = nonzero_box(transposed)
    mask = nonzero_mask(transposed) if any(channel.masked for channel in plans.channels) else None
    inside = None if mask is None else mask[crop.slices]
    found = []
    for values, plan in zip(transposed, plans.channels, strict=True):
        function = normalized(values[crop.slices], plan, inside).function
        found.append(NormalizedChannel(values, function, mask if plan.masked else None))
    return found


def part_of(geometry: Geometry, box: Box) -> Geometry:
    """The grid of a box (z, y, x) of a volume."""
    x, y, z = geometry.voxel_to_world(np.array(box.start))
    shape = (box.shape[0], box.shape[1], box.shape[2])
    return replace(geometry, shape=shape, origin_mm=(float(x), float(y), float(z)))


def is_mirrored(stage: StagePlan, organ: str) -> bool:
    """Whether the network of the stage sees this organ mirrored."""
    return stage.region is not None and stage.region.is_mirrored(organ)


def mirrored(array: np.ndarray, plans: Plans) -> np.ndarray:
    """(..., z, y, x) in plan order, mirrored from left to right; its own inverse."""
    assert plans.left_right_axis is not None
    return np.ascontiguousarray(np.flip(array, plans.left_right_axis + array.ndim - 3))
