"""Which classes can win where, between voxels too: what lets a class be interpolated within a box and still be right.

A cell is what lies between neighbouring voxels along the axes that are interpolated. Where all corners have one winner
no other class can win. Between several winners a class c can win only where, at one corner at least, it reaches the
mean R of the classes that win at the corners: if c < R at every corner, then c(p) < R(p) <= max k(p) at every point p
of the cell, since the same weights, none of them negative, make all values at p from those at the corners.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from autoseg.geometry import Box, Shape
from autoseg.preprocessing.extents import FAR, Extents
from autoseg.preprocessing.regrid import Regrid, Voxels

CELLS_AT_ONCE = 1 << 16
"""Taken together, in whole layers: some 10 MB for each class that is looked at."""


class Logits(Protocol):
    """(K, z, y, x) float32, read class by class and part by part: an array, or what holds only some planes of it."""

    def __len__(self) -> int:
        """K."""

    def __getitem__(self, index: int, /) -> Voxels:
        """One class, to be indexed by three slices."""


def winning_extents(logits: Logits, source: tuple[slice, ...], winners: np.ndarray, regrid: Regrid) -> Extents:
    """Where each class but the background can have the largest logit once it is interpolated.

    source: the part of the logits that is looked at. winners: (z, y, x) int16 within it, the class with the largest
    logit at every voxel. Memory does not depend on the number of classes.
    """
    count = len(logits) - 1
    found = Extents.of_values(winners, count)
    reach = tuple(int(not axis.unchanged and axis.order > 0) for axis in regrid.axes)
    steps = tuple(min(r, n - 1) for r, n in zip(reach, winners.shape, strict=True))
    boxes = [found.box(index, slice(0, len(winners))) for index in range(count)]
    between = Extents(np.full_like(found.starts, FAR), np.zeros_like(found.stops))
    for cells in _mixed_cells(winners, steps, _common(boxes)):
        part = (slice(source[0].start + cells.first, source[0].start + cells.stop), *source[1:])
        reference = _mean_of_winners(logits, part, winners[cells.first : cells.stop], cells)
        for index, box in enumerate(boxes):
            asked = _outside(box, cells)
            if len(asked):
                values = _at_corners(logits[index + 1][part], cells.corners[:, asked])
                _include(between, index, cells, asked[(values >= reference[:, asked]).any(axis=0)])
    return found.joined(between).within(source)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of some layers. first, stop: the planes that they lie between. steps: 1 along axes that are interpolated.

    z, y, x: (n,) the lowest corner of each, z in ascending order. corners: (corners, n) into the flat planes.
    """

    first: int
    stop: int
    steps: Shape
    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    corners: np.ndarray


def _common(boxes: list[Box | None]) -> tuple[slice, ...]:
    """What lies in all of the boxes, as an index; empty where one is missing."""
    if None in boxes:
        return (slice(0, 0),)
    known = [box for box in boxes if box is not None]
    starts, stops = np.max([box.start for box in known], axis=0), np.min([box.stop for box in known], axis=0)
    return tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))


def _mixed_cells(winners: np.ndarray, steps: Shape, settled: tuple[slice, ...]) -> Iterator[_Cells]:
    """The cells whose corners have several winners, in groups of neighbouring layers.

    settled: where all classes are looked at anyway; cells with all corners in it are left out.
    """
    low = high = winners
    for axis, step in enumerate(steps):
        if step:
            low, high = _along(np.minimum, low, axis), _along(np.maximum, high, axis)
    mixed = low != high
    mixed[tuple(slice(part.start, max(part.stop - step, 0)) for part, step in zip(settled, steps, strict=False))] = (
        False
    )
    rows, columns = winners.shape[1:]
    offsets = np.array([(dz * rows + dy) * columns + dx for dz, dy, dx in product(*(range(s + 1) for s in steps))])
    ends = np.cumsum(np.count_nonzero(mixed, axis=(1, 2)))
    for layers in np.split(np.arange(len(mixed)), np.flatnonzero(np.diff(ends // CELLS_AT_ONCE)) + 1):
        first, stop = int(layers[0]), int(layers[-1]) + 1
        z, y, x = np.nonzero(mixed[first:stop])
        if len(z):
            corners = offsets[:, None] + ((z * rows + y) * columns + x)
            yield _Cells(first, stop + steps[0], steps, z + first, y, x, corners)


def _along(combine: np.ufunc, values: np.ndarray, axis: int) -> np.ndarray:
    """Combine every voxel with the next one along an axis; the result is one shorter."""
    rest = (slice(None),) * axis
    combined: np.ndarray = combine(values[(*rest, slice(-1))], values[(*rest, slice(1, None))])
    return combined


def _at_corners(values: np.ndarray, corners: np.ndarray) -> np.ndarray:
    return values.reshape(-1).take(corners)


def _mean_of_winners(logits: Logits, part: tuple[slice, ...], winners: np.ndarray, cells: _Cells) -> np.ndarray:
    """(corners, n) the mean, at each corner, of the logits of all classes that win at any corner of the cell."""
    winning = _at_corners(winners, cells.corners)
    total = np.zeros(winning.shape, dtype=np.float32)
    number = np.zeros(winning.shape[1], dtype=np.float32)
    for index in np.unique(winning):
        where = np.flatnonzero((winning == index).any(axis=0))
        total[:, where] += _at_corners(logits[int(index)][part], cells.corners[:, where])
        number[where] += 1
    return total / number


def _outside(box: Box | None, cells: _Cells) -> np.ndarray:
    """The numbers of the cells that do not lie with all corners in a box, in which the class is looked at anyway."""
    if box is None:
        return np.arange(len(cells.z))
    outside = np.zeros(len(cells.z), dtype=bool)
    for axis, lowest in enumerate((cells.z, cells.y, cells.x)):
        outside |= (lowest < box.start[axis]) | (lowest + cells.steps[axis] >= box.stop[axis])
    return np.flatnonzero(outside)


def _include(extents: Extents, index: int, cells: _Cells, able: np.ndarray) -> None:
    """Widen the extents of a class, in place, to the corners of the cells (numbers) in which it is able to win."""
    if not len(able):
        return
    z = cells.z[able]
    runs = np.flatnonzero(np.diff(z, prepend=-1))
    lines = [corner[able] for corner in (cells.y, cells.x)]
    starts = np.stack([np.minimum.reduceat(line, runs) for line in lines], axis=-1)
    ends = [np.maximum.reduceat(line, runs) + step + 1 for line, step in zip(lines, cells.steps[1:], strict=True)]
    for plane in range(cells.steps[0] + 1):
        at = z[runs] + plane
        extents.starts[index, at] = np.minimum(extents.starts[index, at], starts)
        extents.stops[index, at] = np.maximum(extents.stops[index, at], np.stack(ends, axis=-1))
