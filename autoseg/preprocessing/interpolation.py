"""Interpolation along one axis as a banded matrix.

Resampling to another number of voxels is linear and separable. The value at output voxel i is read at the input
coordinate (i + 0.5) * inputs / outputs - 0.5, so both grids cover the same extent; beyond the border the edge voxel is
repeated. Each matrix is cut into blocks of rows that hold only the columns they need, small enough that a slice stays
in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BLOCK_ROWS = 32
SPLINE_PADDING = 12
NEGLIGIBLE = 1e-7
"""Entries below it are zeroed: products with denormal numbers would be fifteen times slower."""


@dataclass(frozen=True)
class Axis:
    """One axis resampled from `inputs` to `outputs` voxels.

    order: 3 for the interpolating cubic B-spline, 1 for linear, 0 for the nearest voxel (the upper on a tie).
    """

    inputs: int
    outputs: int
    order: int

    @property
    def unchanged(self) -> bool:
        """Whether every output voxel is the input voxel of the same index."""
        return self.inputs == self.outputs

    @property
    def coordinates(self) -> np.ndarray:
        """(outputs,) float64: where each output voxel lies, in input voxels."""
        return (np.arange(self.outputs) + 0.5) * (self.inputs / self.outputs) - 0.5

    @property
    def nearest(self) -> np.ndarray:
        """(outputs,) the input voxel nearest to each output voxel."""
        return np.clip(np.floor(self.coordinates + 0.5).astype(np.intp), 0, self.inputs - 1)

    def support(self, rows: slice) -> slice:
        """Input voxels that hold all that the output voxels `rows` read."""
        if self.unchanged or rows.stop <= rows.start:
            return slice(rows.start, rows.stop)
        used = [band.inputs for _, band in self._cut_bands(rows)]
        return slice(used[0].start, max(inputs.stop for inputs in used))

    def reach(self, inputs: slice) -> slice:
        """Output voxels on which these input voxels have any weight; for orders 0 and 1."""
        if self.unchanged:
            return inputs
        if self.order == 0:
            start, stop = np.searchsorted(self.nearest, (inputs.start, inputs.stop))
            return slice(int(start), int(stop))
        at = np.clip(self.coordinates, 0, self.inputs - 1)
        start, stop = np.searchsorted(at, inputs.start - 1, side="right"), np.searchsorted(at, inputs.stop, side="left")
        return slice(int(start), int(stop))

    def apply(self, array: np.ndarray, rows: slice, out: np.ndarray) -> None:
        """Resample axis -2. array: (..., support(rows), n); out: (..., rows, n) of the array's dtype, written."""
        self._apply(array, rows, out, transposed=False)

    def apply_last(self, array: np.ndarray, rows: slice, out: np.ndarray) -> None:
        """Resample axis -1. array: (n, support(rows)); out: (n, rows) of the array's dtype, written."""
        self._apply(array.T, rows, out.T, transposed=True)

    def _apply(self, array: np.ndarray, rows: slice, out: np.ndarray, *, transposed: bool) -> None:
        if self.unchanged:
            out[...] = array
            return
        first = self.support(rows).start
        if self.order == 0:
            out[...] = array[..., self.nearest[rows] - first, :]
            return
        for at, band in self._cut_bands(rows, out.dtype.name):
            read = array[..., band.inputs.start - first : band.inputs.stop - first, :]
            if transposed:
                np.matmul(read.T, band.weights.T, out=out[at].T)
            else:
                np.matmul(band.weights, read, out=out[..., at, :])

    def _cut_bands(self, rows: slice, dtype: str = "float32") -> Iterator[tuple[slice, Band]]:
        """The bands that the rows need, cut to them, and where their result lies, counted from the first row."""
        for band in bands(self.inputs, self.outputs, self.order, dtype):
            start, stop = max(band.start, rows.start), min(band.stop, rows.stop)
            if start < stop:
                weights = band.weights[start - band.start : stop - band.start]
                yield slice(start - rows.start, stop - rows.start), Band(start, stop, band.first, weights)


@dataclass(frozen=True, eq=False)
class Band:
    """Rows start..stop of an interpolation matrix. weights: (stop - start, columns) from column `first` on."""

    start: int
    stop: int
    first: int
    weights: np.ndarray

    @property
    def inputs(self) -> slice:
        """The input voxels that these rows read."""
        return slice(self.first, self.first + self.weights.shape[1])


@lru_cache(maxsize=64)
def bands(inputs: int, outputs: int, order: int, dtype: str = "float32") -> tuple[Band, ...]:
    """The matrix that resamples an axis of `inputs` voxels to `outputs`, in blocks of rows. Rows sum to one."""
    matrix = {0: _nearest, 1: _linear, 3: _cubic}[order](Axis(inputs, outputs, order))
    matrix[np.abs(matrix) < NEGLIGIBLE] = 0
    matrix = matrix.astype(dtype)
    return tuple(_cut(matrix, start, min(start + BLOCK_ROWS, outputs)) for start in range(0, outputs, BLOCK_ROWS))


def _cut(matrix: np.ndarray, start: int, stop: int) -> Band:
    columns = np.flatnonzero(matrix[start:stop].any(axis=0))
    first, last = int(columns[0]), int(columns[-1]) + 1
    return Band(start, stop, first, np.ascontiguousarray(matrix[start:stop, first:last]))


def _nearest(axis: Axis) -> np.ndarray:
    return np.eye(axis.inputs)[axis.nearest]


def _linear(axis: Axis) -> np.ndarray:
    at = np.clip(axis.coordinates, 0, axis.inputs - 1)
    low = np.floor(at).astype(np.intp)
    rows, matrix = np.arange(axis.outputs), np.zeros((axis.outputs, axis.inputs))
    matrix[rows, low] += 1 - (at - low)
    matrix[rows, np.minimum(low + 1, axis.inputs - 1)] += at - low
    return matrix


def _cubic(axis: Axis) -> np.ndarray:
    """The spline's coefficients as a matrix of the edge-padded input, read at the four knots around each output."""
    from scipy.ndimage import spline_filter1d

    padded = np.pad(np.eye(axis.inputs), ((SPLINE_PADDING, SPLINE_PADDING), (0, 0)), mode="edge")
    coefficients = spline_filter1d(padded, 3, axis=0, mode="nearest")
    at = axis.coordinates + SPLINE_PADDING
    low = np.floor(at).astype(np.intp)
    t = (at - low)[:, None]
    knots = ((1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * (1 - t) ** 2 + 3 * (1 - t) ** 3, t**3)
    matrix = np.zeros((axis.outputs, axis.inputs))
    for offset, weight in enumerate(knots):
        matrix += weight / 6 * coefficients[low + offset - 1]
    return matrix
