"""The grid that volumes are resampled to: spacing, order of axes, and how large the cases are on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

ANISOTROPY = 3.0
LOW_PERCENTILE = 10
COARSENING = 1.03


@dataclass(frozen=True)
class TargetSpacing:
    """The spacing of the full resolution in mm, in the volume's axis order.

    median_mm: the medians that it began with. anisotropic: whether the coarsest axis took the low percentile instead.
    """

    spacing_mm: tuple[float, ...]
    median_mm: tuple[float, ...]
    median_shape: tuple[float, ...]
    anisotropic: bool


def target_spacing(spacings: np.ndarray, shapes: np.ndarray) -> TargetSpacing:
    """The median spacing per axis; on a far coarser and shorter axis the tenth percentile.

    spacings: (n, 3) mm; shapes: (n, 3) voxels. Slices so thick that in-plane detail is three times finer would be
    interpolated badly in the half of the cases that has thinner ones; the axis never becomes finer than the others.
    """
    target, size = np.percentile(spacings, 50, axis=0), np.percentile(shapes, 50, axis=0)
    median = target.copy()
    axis = int(np.argmax(target))
    others = [other for other in range(3) if other != axis]
    coarse = target[axis] > ANISOTROPY * max(target[others])
    short = size[axis] * ANISOTROPY < min(size[others])
    if coarse and short:
        low = np.percentile(spacings[:, axis], LOW_PERCENTILE)
        target[axis] = low if low >= max(target[others]) else max(target[others]) + 1e-5
    return TargetSpacing(_floats(target), _floats(median), _floats(size), bool(coarse and short))


def axis_order(spacing_mm: Sequence[float]) -> tuple[int, int, int]:
    """The transposition that brings the coarsest axis to the front and leaves the others in order."""
    first = int(np.argmax(spacing_mm))
    second, third = (axis for axis in range(3) if axis != first)
    return first, second, third


def resampled_median_shape(spacings: np.ndarray, shapes: np.ndarray, target_mm: Sequence[float]) -> tuple[float, ...]:
    """The median per axis of the shapes that the cases have on the target grid; x.5 for an even number of cases."""
    resampled = [
        [round(old / new * edge) for old, new, edge in zip(spacing, target_mm, shape, strict=True)]
        for spacing, shape in zip(spacings.tolist(), shapes.tolist(), strict=True)
    ]
    return _floats(np.median(resampled, axis=0))


@dataclass(frozen=True)
class Grid:
    """A resolution: spacing_mm and median_shape in plan order; voxels: of a median case, unrounded."""

    spacing_mm: tuple[float, ...]
    median_shape: tuple[float, ...]
    voxels: float


def coarser_grids(fullres: Grid) -> Iterator[Grid]:
    """Coarser and coarser grids without end: axes more than twice as fine as the coarsest first, then all, by 3 %."""
    start, shape = np.array(fullres.spacing_mm), np.array(fullres.median_shape)
    spacing = start.copy()
    while True:
        fine = max(spacing) / spacing > 2
        spacing[fine if fine.any() else slice(None)] *= COARSENING
        size = start / spacing * shape
        yield Grid(_floats(spacing), tuple(float(round(edge)) for edge in size), float(np.prod(size)))


def grid_of_shape(grid: Grid, shape: Sequence[int]) -> Grid:
    """The grid on which a median case has at most this shape; an axis that is shorter keeps its spacing."""
    sizes = [min(edge, float(most)) for edge, most in zip(grid.median_shape, shape, strict=True)]
    spacing = [old * edge / size for old, edge, size in zip(grid.spacing_mm, grid.median_shape, sizes, strict=True)]
    return Grid(tuple(spacing), tuple(sizes), float(np.prod(sizes)))


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
