"""Sums of logits, held only for the planes that windows still touch.

Plane z lies in place z modulo the number of places, so that nothing is moved when windows go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np

from autoseg.inference.arrays import Array, add_weighted, beside
from autoseg.inference.places import Places


@final
class OpenPlanes:
    """Sums of weighted logits (K, z, y, x), of which planes `first` to `first + depth` exist.

    depth: how many planes may be open at once. inside: where the image lies on the grid of the windows; reading counts
    from there. finished: planes before it get no more windows; they stay until they are released.
    """

    def __init__(self, places: Places, depth: int, inside: tuple[slice, ...]) -> None:
        self.first = 0
        self.finished = 0
        self.inside = inside
        self._depth = depth
        self._places = places

    def __len__(self) -> int:
        """K."""
        return self._places.classes

    def __getitem__(self, index: int) -> _Class:
        """One class, to be indexed by three slices, counted from the image's first voxel."""
        return _Class(self, index)

    def add(self, window: Array, where: tuple[slice, ...], weights: Array | None) -> None:
        """Add a window (K, z, y, x) times weights (broadcastable to z, y, x); with None it replaces what was there."""
        for classes, sums in self._places.blocks():
            window = beside(window, sums)  # once, also where the classes are in a file one by one
            for planes, places in self._pieces(where[0]):
                own = None if weights is None else _planes_of(weights, planes)
                add_weighted(sums[(slice(None), places, *where[1:])], window[classes][:, planes], own)

    def leave_gpu(self) -> bool:
        """See Places."""
        return self._places.leave_gpu()

    def release(self, first: int) -> None:
        """Forget the planes before `first`: their places are free for later ones."""
        freed = list(self._pieces(slice(self.first, max(first, self.first))))
        for _, sums in self._places.blocks() if freed else ():
            for _, places in freed:
                sums[:, places] = 0
        self.first = max(first, self.first)

    def read(self, index: int, part: tuple[slice, ...]) -> np.ndarray:
        """A part of one class, float32, counted from the image's first voxel."""
        z, y, x = (
            slice(a.start + whole.start, a.stop + whole.start) for a, whole in zip(part, self.inside, strict=True)
        )
        pieces = [self._places.read(index, (places, y, x)) for _, places in self._pieces(z)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _pieces(self, planes: slice) -> Iterator[tuple[slice, slice]]:
        """Open planes as runs of neighbouring places: (counted from the first of them, places)."""
        assert planes.stop - self.first <= self._depth
        done = planes.start
        while done < planes.stop:
            place = done % self._depth
            count = min(planes.stop - done, self._depth - place)
            yield slice(done - planes.start, done - planes.start + count), slice(place, place + count)
            done += count


@final
class _Class:
    """One class of open planes."""

    def __init__(self, planes: OpenPlanes, index: int) -> None:
        self._planes = planes
        self._index = index

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) of the image."""
        return tuple(axis.stop - axis.start for axis in self._planes.inside)

    def __getitem__(self, part: Any) -> np.ndarray:
        return self._planes.read(self._index, part)


def _planes_of(weights: Array, planes: slice) -> Array:
    return weights[planes] if len(weights) > 1 else weights
