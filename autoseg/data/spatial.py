"""Rotation, scaling and mirroring, and cutting a patch so that only the voxels it needs are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from autoseg.data.majority import majority
from autoseg.geometry import Box

ROTATION_PROBABILITY = 0.2
SCALING_PROBABILITY = 0.2
MIRROR_PROBABILITY = 0.5
ROTATION_3D = math.radians(30)
ROTATION_IN_PLANE = math.pi
ROTATION_ELONGATED = math.radians(15)
ANISOTROPIC_PATCH = 3
ELONGATED_PATCH = 1.5
SHIFT_SHARE = 4
"""A patch is moved by a quarter of its edge at most: what it is centred on stays in it."""


@dataclass(frozen=True, eq=False)
class SpatialChange:
    """What happens to the geometry of one patch.

    matrix: (3, 3), from a voxel's offset to the patch's centre to where it comes from; None where it is the identity.
    in_plane: whether the matrix leaves axis 0 alone. flips: axes that are mirrored afterwards. shift: voxels by which
    the patch is moved before, per axis.
    """

    matrix: np.ndarray | None = None
    in_plane: bool = False
    flips: tuple[int, ...] = ()
    shift: tuple[int, ...] = (0, 0, 0)

    def moved(self, box: Box, shape: Sequence[int]) -> Box:
        """The box moved by the shift; its centre never leaves an array of this shape."""
        starts = []
        for start, edge, length, step in zip(box.start, box.shape, shape, self.shift, strict=True):
            least, most = min(start, -(edge // 2)), max(start, length - 1 - edge // 2)
            starts.append(min(max(start + step, least), most))
        return Box(tuple(starts), tuple(s + edge for s, edge in zip(starts, box.shape, strict=True)))


@dataclass(frozen=True)
class SpatialLimits:
    """The strongest changes: the largest angle (None: by the shape of the patch), the scales, and the largest shift."""

    rotation_degrees: float | None = None
    scales: tuple[float, float] = (0.7, 1.4)
    shift_voxels: int = 0


USUAL_LIMITS = SpatialLimits()


@dataclass(frozen=True)
class SpatialRanges:
    """What may happen to patches of one stage.

    rotation: the largest angle in radians. in_plane: whether only axes 1 and 2 are rotated, scaled and shifted.
    mirror_axes: axes that may be mirrored. scales: the smallest and the largest. shift: the largest, per axis.
    """

    rotation: float
    in_plane: bool
    mirror_axes: tuple[int, ...]
    scales: tuple[float, float] = USUAL_LIMITS.scales
    shift: tuple[int, ...] = (0, 0, 0)

    @classmethod
    def of_patch(
        cls,
        patch_size: Sequence[int],
        mirror_axes: Sequence[int],
        limits: SpatialLimits = USUAL_LIMITS,
        *,
        region_mm: Sequence[float] | None = None,
    ) -> SpatialRanges:
        """The ranges for a patch (three edges; the first is one in a 2D stage), the peer's where there is no limit.

        A patch that is more than three times as long as it is thick is only changed in its plane, by any angle; a 2D
        patch that is more than 1.5 times as long as it is wide by 15 degrees; any other 3D patch by 30 degrees.
        region_mm: the spacing, for the region of an organ, which may be long and thin itself. Then the thickness of its
        voxels decides in place of the patch's, and a long one is turned by 15 degrees, so that a spinal cord is not
        laid across its region.
        """
        is_2d = patch_size[0] == 1
        thinness = max(patch_size) / patch_size[0] if region_mm is None else region_mm[0] / min(region_mm)
        in_plane = is_2d or thinness > ANISOTROPIC_PATCH
        rotation = ROTATION_IN_PLANE if in_plane else ROTATION_3D
        turned = patch_size[1:] if in_plane else patch_size
        longest = ELONGATED_PATCH if is_2d else math.inf if region_mm is None else ANISOTROPIC_PATCH
        if max(turned) / min(turned) > longest:
            rotation = ROTATION_ELONGATED
        if limits.rotation_degrees is not None:
            rotation = math.radians(limits.rotation_degrees)
        shift = [min(limits.shift_voxels, edge // SHIFT_SHARE) for edge in patch_size]
        shift[0] = 0 if in_plane else shift[0]
        flips = tuple(axis for axis in mirror_axes if patch_size[axis] > 1)
        return cls(rotation, in_plane, flips, limits.scales, tuple(shift))

    def draw(self, rng: np.random.Generator, strength: float) -> SpatialChange:
        """A random change; strength scales the probabilities, 1 is the peer's, 0 gives none.

        Where there is a range of shifts, every patch is shifted at a strength of 1.
        """
        angles, scale = np.zeros(3), 1.0
        if rng.random() < ROTATION_PROBABILITY * strength:
            angles = rng.uniform(-self.rotation, self.rotation, 3)
        if rng.random() < SCALING_PROBABILITY * strength:
            scale = rng.uniform(*self.scales)
        mirror_probability = min(MIRROR_PROBABILITY, MIRROR_PROBABILITY * strength)
        flips = tuple(axis for axis in self.mirror_axes if rng.random() < mirror_probability)
        shift: tuple[int, ...] = (0, 0, 0)
        if any(self.shift) and rng.random() < strength:
            shift = tuple(int(rng.integers(-most, most + 1)) for most in self.shift)
        if self.in_plane:
            angles[1:] = 0
        if scale == 1 and not angles.any():
            return SpatialChange(flips=flips, shift=shift)
        scales = np.diag([1.0 if self.in_plane else scale, scale, scale])
        return SpatialChange(rotation_matrix(angles) @ scales, self.in_plane, flips, shift)


def rotation_matrix(angles: Sequence[float] | np.ndarray) -> np.ndarray:
    """(3, 3): a turn about axis 0, then about axis 1, then about axis 2. angles: radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix


def cut_image(image: np.ndarray, box: Box, change: SpatialChange) -> np.ndarray:
    """A changed patch of an image (C, Z, Y, X), zero outside it, linearly interpolated: (C, *box.shape) float32."""
    if change.matrix is None:
        return _flipped(_cut(image, box, 0), change.flips)
    source = _source_box(box, change, image.shape[1:])
    crop = torch.from_numpy(_cut(image, source, 0))
    if change.in_plane:
        crop = crop.flatten(0, 1)
    points = _points(box, change, source)
    sizes = crop.shape[1:]
    grid = np.stack([(2 * point + 1) / size - 1 for point, size in zip(points, sizes, strict=True)][::-1], axis=-1)
    sampled = torch.nn.functional.grid_sample(
        crop[None], torch.from_numpy(grid.astype(np.float32))[None], padding_mode="zeros", align_corners=False
    )
    return _flipped(sampled.numpy().reshape(len(image), *box.shape), change.flips)


def cut_labels(labels: np.ndarray, box: Box, change: SpatialChange, *, outside: int) -> np.ndarray:
    """A changed patch of labels (Z, Y, X), `outside` beyond them: box.shape int16.

    Each voxel takes the value that has the largest share of the linear interpolation weights around it: the same as
    interpolating every class and taking the largest, for any number of classes.
    """
    if change.matrix is None:
        return _flipped(_cut(labels[None], box, outside), change.flips)[0]
    source = _source_box(box, change, labels.shape)
    points = _points(box, change, source)
    crop = _cut(labels[None], source, outside)[0]
    layers = crop if change.in_plane else crop[None]
    return _flipped(majority(layers, points, outside).reshape(1, *box.shape), change.flips)[0]


def _cut(array: np.ndarray, box: Box, outside: int) -> np.ndarray:
    """The voxels of a box of (C, Z, Y, X), `outside` beyond the array; a fresh array that shares no memory."""
    inside = box.clipped(array.shape[1:])
    if inside == box:
        return np.array(array[(slice(None), *inside.slices)])
    patch = np.full((len(array), *box.shape), outside, dtype=array.dtype)
    shifted = tuple(slice(a - s, b - s) for a, b, s in zip(inside.start, inside.stop, box.start, strict=True))
    patch[(slice(None), *shifted)] = array[(slice(None), *inside.slices)]
    return patch


def _flipped(patch: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Mirror (C, Z, Y, X) along spatial axes."""
    return np.ascontiguousarray(np.flip(patch, tuple(axis + 1 for axis in axes))) if axes else patch


def _centre(box: Box) -> np.ndarray:
    return (np.asarray(box.start) + np.asarray(box.stop) - 1) / 2


def _source_box(box: Box, change: SpatialChange, shape: Sequence[int]) -> Box:
    """The smallest box that holds every voxel that a changed patch interpolates between.

    Clipped to the array's shape, except on axis 0 of a change in plane, where it is the patch's own.
    """
    assert change.matrix is not None
    reach = np.abs(change.matrix) @ ((np.asarray(box.shape) - 1) / 2)
    start = np.floor(_centre(box) - reach - 1e-4).astype(int)
    stop = np.ceil(_centre(box) + reach + 1e-4).astype(int) + 1
    source = Box(tuple(start.tolist()), tuple(stop.tolist())).clipped(tuple(shape))
    return Box((box.start[0], *source.start[1:]), (box.stop[0], *source.stop[1:])) if change.in_plane else source


def _points(box: Box, change: SpatialChange, source: Box) -> list[np.ndarray]:
    """Where each voxel of the patch comes from, as float32 indices into the source box, one array per axis.

    In plane: two arrays of the patch's last two edges. Else: three arrays of its three edges.
    """
    assert change.matrix is not None
    axes = (1, 2) if change.in_plane else (0, 1, 2)
    centre = _centre(box) - np.asarray(source.start)
    offsets = [np.arange(box.shape[axis], dtype=np.float32) - (box.shape[axis] - 1) / 2 for axis in axes]
    grids = np.meshgrid(*offsets, indexing="ij", sparse=True)
    rows = change.matrix[np.ix_(axes, axes)].astype(np.float32)
    return [
        sum((share * grid for share, grid in zip(row, grids, strict=True)), np.full((), start, np.float32))
        for row, start in zip(rows, centre[list(axes)], strict=True)
    ]
