"""Rotation, scaling and mirroring, and cutting a patch so that only the voxels it needs are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from autoseg.geometry import Box

ROTATION_PROBABILITY = 0.2
SCALING_PROBABILITY = 0.2
MIRROR_PROBABILITY = 0.5
SCALES = (0.7, 1.4)
ROTATION_3D = math.radians(30)
ROTATION_IN_PLANE = math.pi
ROTATION_ELONGATED_2D = math.radians(15)
ANISOTROPIC_PATCH = 3
ELONGATED_PATCH = 1.5
TIE_BREAK = np.float32(1e-3)


@dataclass(frozen=True, eq=False)
class SpatialChange:
    """What happens to the geometry of one patch.

    matrix: (3, 3), from a voxel's offset to the patch's centre to where it comes from; None where it is the identity.
    in_plane: whether the matrix leaves axis 0 alone. flips: axes that are mirrored afterwards.
    """

    matrix: np.ndarray | None = None
    in_plane: bool = False
    flips: tuple[int, ...] = ()


@dataclass(frozen=True)
class SpatialRanges:
    """What may happen to patches of one stage.

    rotation: the largest angle in radians. in_plane: whether only axes 1 and 2 are rotated and scaled. mirror_axes:
    axes that may be mirrored.
    """

    rotation: float
    in_plane: bool
    mirror_axes: tuple[int, ...]

    @classmethod
    def of_patch(cls, patch_size: Sequence[int], mirror_axes: Sequence[int]) -> SpatialRanges:
        """The peer's ranges for a patch (three edges; the first is one in a 2D stage).

        A patch that is more than three times as long as it is thick is only changed in its plane, by any angle; a 2D
        patch that is more than 1.5 times as long as it is wide by 15 degrees; any other 3D patch by 30 degrees.
        """
        is_2d = patch_size[0] == 1
        in_plane = is_2d or max(patch_size) / patch_size[0] > ANISOTROPIC_PATCH
        rotation = ROTATION_IN_PLANE if in_plane else ROTATION_3D
        if is_2d and max(patch_size[1:]) / min(patch_size[1:]) > ELONGATED_PATCH:
            rotation = ROTATION_ELONGATED_2D
        return cls(rotation, in_plane, tuple(axis for axis in mirror_axes if patch_size[axis] > 1))

    def draw(self, rng: np.random.Generator, strength: float) -> SpatialChange:
        """A random change; strength scales the probabilities, 1 is the peer's, 0 gives none."""
        angles, scale = np.zeros(3), 1.0
        if rng.random() < ROTATION_PROBABILITY * strength:
            angles = rng.uniform(-self.rotation, self.rotation, 3)
        if rng.random() < SCALING_PROBABILITY * strength:
            scale = rng.uniform(*SCALES)
        mirror_probability = min(MIRROR_PROBABILITY, MIRROR_PROBABILITY * strength)
        flips = tuple(axis for axis in self.mirror_axes if rng.random() < mirror_probability)
        if self.in_plane:
            angles[1:] = 0
        if scale == 1 and not angles.any():
            return SpatialChange(flips=flips)
        scales = np.diag([1.0 if self.in_plane else scale, scale, scale])
        return SpatialChange(rotation_matrix(angles) @ scales, self.in_plane, flips)


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
    return _flipped(_majority(layers, points, outside).reshape(1, *box.shape), change.flips)[0]


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


def _majority(layers: np.ndarray, points: Sequence[np.ndarray], outside: int) -> np.ndarray:
    """The label with the most linear weight at each point. layers: (L, ...) sampled alike. Returns (L, N).

    Where all corners of a cell agree, which is nearly everywhere, the answer is known from one of them; only in mixed
    cells is it counted out. A tie goes to the nearer corner.
    """
    padded = np.pad(layers, [(0, 0)] + [(1, 1)] * len(points), constant_values=outside)
    steps = [math.prod(padded.shape[axis + 2 :]) for axis in range(len(points))]
    first = np.zeros((), np.int64)
    shares = []
    for point, length, step in zip(points, layers.shape[1:], steps, strict=True):
        point = np.clip(point.ravel(), -1, length)
        floor = np.minimum(np.floor(point), length - 1)
        shares.append(point - floor)
        first = first + (floor.astype(np.int64) + 1) * step
    flat = padded.reshape(len(layers), -1)
    result = flat[:, first]
    layer, index = np.nonzero(_mixed_cells(padded).reshape(len(layers), -1)[:, first])
    corners = list(product((0, 1), repeat=len(points)))
    values = [flat[layer, first[index] + int(np.dot(corner, steps))] for corner in corners]
    weights = [_weight(corner, [share[index] for share in shares]) for corner in corners]
    result[layer, index] = _heaviest(values, weights)
    return result


def _mixed_cells(layers: np.ndarray) -> np.ndarray:
    """Whether the cell that starts at each voxel of (L, ...) has corners with different labels."""
    low, high = layers, layers
    for axis in range(1, layers.ndim):
        following = [slice(None)] * layers.ndim
        following[axis] = slice(1, None)
        here = [slice(None)] * layers.ndim
        here[axis] = slice(None, -1)
        new_low, new_high = low.copy(), high.copy()
        np.minimum(low[tuple(here)], low[tuple(following)], out=new_low[tuple(here)])
        np.maximum(high[tuple(here)], high[tuple(following)], out=new_high[tuple(here)])
        low, high = new_low, new_high
    return low != high


def _weight(corner: Sequence[int], shares: Sequence[np.ndarray]) -> np.ndarray:
    """The linear weight of a corner. shares: per axis, (N,) distances to the lower corner."""
    weight = np.ones((), np.float32)
    for bit, share in zip(corner, shares, strict=True):
        weight = weight * (share if bit else 1 - share)
    return weight


def _heaviest(values: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
    """The value with the largest summed weight, elementwise over (N,) arrays."""
    best, best_score = values[0].copy(), np.full(values[0].shape, -1.0, np.float32)
    for value, own in zip(values, weights, strict=True):
        score = TIE_BREAK * own
        for other, weight in zip(values, weights, strict=True):
            score += weight * (other == value)
        better = score > best_score
        best[better], best_score[better] = value[better], score[better]
    return best
