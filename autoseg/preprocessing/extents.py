"""Where each class lies, slice by slice: what lets a class be resampled within its box alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.geometry import Box

FAR = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Extents:
    """Boxes of classes in every slice along axis 0.

    starts, stops: (classes, Z, 2) int32, half-open ranges (y, x); FAR and 0 where the class is not. first: the number
    of the first slice.
    """

    starts: np.ndarray
    stops: np.ndarray
    first: int = 0

    @classmethod
    def of_values(cls, values: np.ndarray, count: int) -> Extents:
        """Of the values 1..count in an array of whole numbers (Z, Y, X); class i is the value i + 1."""
        from scipy.ndimage import find_objects

        starts = np.full((count, len(values), 2), FAR, dtype=np.int32)
        stops = np.zeros((count, len(values), 2), dtype=np.int32)
        for z, plane in enumerate(values):
            for i, found in enumerate(find_objects(plane.astype(np.int32, copy=False), count)):
                if found is not None:
                    starts[i, z] = [axis.start for axis in found]
                    stops[i, z] = [axis.stop for axis in found]
        return cls(starts, stops)

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> Extents:
        """Of one class given by its mask (Z, Y, X)."""
        ranges = [_ranges(np.any(mask, axis=2)), _ranges(np.any(mask, axis=1))]
        starts, stops = (np.stack([found[end] for found in ranges], axis=-1) for end in (0, 1))
        return cls(starts[None], stops[None])

    @classmethod
    def stacked(cls, parts: list[Extents]) -> Extents:
        """The classes of several, one after the other."""
        return cls(np.concatenate([p.starts for p in parts]), np.concatenate([p.stops for p in parts]))

    def joined(self, other: Extents) -> Extents:
        """The boxes around both, class by class."""
        return Extents(np.minimum(self.starts, other.starts), np.maximum(self.stops, other.stops))

    def within(self, part: tuple[slice, ...]) -> Extents:
        """Those of a part (z, y, x) of an array, as extents of the array."""
        z, y, x = (axis.start for axis in part)
        absent = self.stops == 0
        corner = np.array([y, x], dtype=np.int32)
        starts, stops = (np.where(absent, ends, ends + corner) for ends in (self.starts, self.stops))
        return Extents(starts, stops, self.first + z)

    def box(self, index: int, slices: slice) -> Box | None:
        """The box of a class within a range of slices, None where it has no voxel there."""
        slices = slice(max(slices.start - self.first, 0), slices.stop - self.first)
        found = np.flatnonzero(self.stops[index, slices, 0])
        if not len(found):
            return None
        start = self.starts[index, slices].min(axis=0)
        stop = self.stops[index, slices].max(axis=0)
        z = tuple(self.first + slices.start + int(end) for end in (found[0], found[-1] + 1))
        return Box((z[0], int(start[0]), int(start[1])), (z[1], int(stop[0]), int(stop[1])))


def _ranges(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First true entry of each row and one past the last; FAR and 0 where there is none. lines: (Z, n) bool."""
    found = lines.any(axis=1)
    starts = np.where(found, lines.argmax(axis=1), FAR)
    stops = np.where(found, lines.shape[1] - lines[:, ::-1].argmax(axis=1), 0)
    return starts.astype(np.int32), stops.astype(np.int32)
