"""Reading a box of an array (z, y, x) as if the array had been resampled to another shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from autoseg.geometry import Box, Shape
from autoseg.preprocessing.interpolation import BLOCK_ROWS, Axis


class Voxels(Protocol):
    """What is read part by part: an array, or what computes its values when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x)."""

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """The values at an index of slices."""


@dataclass(frozen=True)
class Regrid:
    """An array (z, y, x) read as if it had been resampled to another shape."""

    axes: tuple[Axis, Axis, Axis]

    @classmethod
    def between(cls, inputs: Shape, outputs: Shape, orders: Shape) -> Regrid:
        """From one shape to another with an order of interpolation per axis."""
        z, y, x = (Axis(int(n), int(m), order) for n, m, order in zip(inputs, outputs, orders, strict=True))
        return cls((z, y, x))

    @property
    def unchanged(self) -> bool:
        """Whether nothing is resampled."""
        return all(axis.unchanged for axis in self.axes)

    def slabs(self, box: Box) -> Iterator[Box]:
        """A box of the output cut along axis 0 into slabs of at most BLOCK_ROWS, aligned with the bands."""
        start = box.start[0]
        while start < box.stop[0]:
            stop = min(start - start % BLOCK_ROWS + BLOCK_ROWS, box.stop[0])
            yield Box((start, *box.start[1:]), (stop, *box.stop[1:]))
            start = stop

    def read(self, array: Voxels, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        """The box of the resampled array. array: (z, y, x), any numbers; returns (or fills) float32 of box.shape.

        Works slab by slab: besides the result it takes memory for BLOCK_ROWS slices and their support.
        """
        out = np.empty(box.shape, dtype=np.float32) if out is None else out
        for slab in self.slabs(box):
            rows = slice(slab.start[0] - box.start[0], slab.stop[0] - box.start[0])
            self.interpolate(array[self.support(slab)], slab, out[rows])
        return out

    def support(self, box: Box) -> tuple[slice, ...]:
        """The input voxels that a box of the output reads, as an index."""
        return tuple(axis.support(rows) for axis, rows in zip(self.axes, box.slices, strict=True))

    def interpolate(self, source: np.ndarray, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        """The box of the resampled array, at once, from the part of the array at support(box)."""
        out = np.empty(box.shape, dtype=np.float32) if out is None else out
        z, y, x = self.axes
        source = np.ascontiguousarray(source, dtype=np.float32)
        planes = np.empty((len(out), *source.shape[1:]), dtype=np.float32)
        z.apply(source.reshape(len(source), -1), box.slices[0], planes.reshape(len(out), -1))
        lines = np.empty((out.shape[1], source.shape[2]), dtype=self._plane_dtype)
        result = np.empty(out.shape[1:], dtype=self._plane_dtype)
        for plane, target in zip(planes, out, strict=True):
            y.apply(plane.astype(self._plane_dtype, copy=False), box.slices[1], lines)
            x.apply_last(lines, box.slices[2], result)
            target[...] = result
        return out

    @property
    def _plane_dtype(self) -> type[np.floating]:
        """Splines sum thirty products per axis; three such sums in float32 are off by up to .0011 in 4000 HU."""
        cubic = any(axis.order == 3 and not axis.unchanged for axis in self.axes[1:])
        return np.float64 if cubic else np.float32


@contextmanager
def products_in_threads(workers: int) -> Iterator[None]:
    """While several threads multiply matrices, let each product of numpy's take one thread; torch keeps its own."""
    if workers <= 1:
        yield
        return
    from threadpoolctl import ThreadpoolController

    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        yield
