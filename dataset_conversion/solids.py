"""The solid shapes that the phantom draws.

Points are (x, y, z) in mm: x grows to the patient's right, y to the front, z to the head (RAS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Ellipsoid:
    """A solid ellipsoid; floor_mm cuts off what lies below that height, in coordinates of the head."""

    centre_mm: Point
    radii_mm: Point
    floor_mm: float = -np.inf

    def contains(self, points: np.ndarray) -> np.ndarray:
        """points: (3, ...) mm. Returns (...) bool."""
        x, y, z = _scaled(points, self)
        return (x * x + y * y + z * z <= 1) & (points[2] >= self.floor_mm)


@dataclass(frozen=True)
class Column:
    """An upright elliptic cylinder; centre_mm is its middle, radii_mm its two radii and half of its height."""

    centre_mm: Point
    radii_mm: Point

    def contains(self, points: np.ndarray) -> np.ndarray:
        """points: (3, ...) mm. Returns (...) bool."""
        x, y, z = _scaled(points, self)
        return (x * x + y * y <= 1) & (np.abs(z) <= 1)


@dataclass(frozen=True)
class Ring:
    """An upright elliptic ring: a rib, seen from above.

    radii_mm: of the ring's middle line along x and y, and half of its height. thickness_mm: of the wall.
    """

    centre_mm: Point
    radii_mm: Point
    thickness_mm: float = 8.0

    def contains(self, points: np.ndarray) -> np.ndarray:
        """points: (3, ...) mm. Returns (...) bool."""
        x, y, z = _scaled(points, self)
        off_line_mm = np.abs(np.hypot(x, y) - 1) * min(self.radii_mm[:2])
        return (off_line_mm <= self.thickness_mm / 2) & (np.abs(z) <= 1)


@dataclass(frozen=True)
class Arch:
    """The front half of a Ring, open to the back: a jaw."""

    centre_mm: Point
    radii_mm: Point
    thickness_mm: float = 8.0

    def contains(self, points: np.ndarray) -> np.ndarray:
        """points: (3, ...) mm. Returns (...) bool."""
        ring = Ring(self.centre_mm, self.radii_mm, self.thickness_mm)
        return ring.contains(points) & (_scaled(points, self)[1] >= 0)


@dataclass(frozen=True)
class Tube:
    """A round tube along straight pieces from point to point, with round ends: a vessel, a bowel, a nerve."""

    line_mm: tuple[Point, ...]
    radius_mm: float

    def contains(self, points: np.ndarray) -> np.ndarray:
        """points: (3, ...) mm. Returns (...) bool."""
        inside = np.zeros(points.shape[1:], dtype=bool)
        for start, end in zip(self.line_mm[:-1], self.line_mm[1:], strict=True):
            inside |= _squared_distance_mm2(points, start, end) <= self.radius_mm**2
        return inside


Solid = Ellipsoid | Column | Ring | Arch | Tube


def mirrored(solid: Solid) -> Solid:
    """The solid on the other side of the body."""
    if isinstance(solid, Tube):
        return replace(solid, line_mm=tuple((-x, y, z) for x, y, z in solid.line_mm))
    x, y, z = solid.centre_mm
    return replace(solid, centre_mm=(-x, y, z))


def pair(*solids: Solid) -> tuple[Solid, ...]:
    """Solids and their mirror images."""
    return (*solids, *(mirrored(solid) for solid in solids))


def moved(solid: Solid, shift: np.ndarray, factor: float) -> Solid:
    """Moved, and scaled about itself; of a tube only the radius is scaled."""
    if isinstance(solid, Tube):
        line = (np.asarray(solid.line_mm) + shift).tolist()
        return Tube(tuple((x, y, z) for x, y, z in line), solid.radius_mm * factor)
    centre, radii = np.asarray(solid.centre_mm) + shift, np.asarray(solid.radii_mm) * factor
    return replace(solid, centre_mm=tuple(centre.tolist()), radii_mm=tuple(radii.tolist()))


def _squared_distance_mm2(points: np.ndarray, start: Point, end: Point) -> np.ndarray:
    """Of points (3, ...) to the straight line between two others. Returns (...)."""
    along = np.subtract(end, start).tolist()
    offsets = [coordinates - first for coordinates, first in zip(points, start, strict=True)]
    fraction = sum(offset * step for offset, step in zip(offsets, along, strict=True)) / sum(step**2 for step in along)
    fraction = np.clip(fraction, 0, 1)
    return sum(np.square(offset - fraction * step) for offset, step in zip(offsets, along, strict=True))


def _scaled(points: np.ndarray, solid: Ellipsoid | Column | Ring | Arch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The coordinates x, y, z relative to the solid's centre, in units of its radii."""
    (x, y, z), (cx, cy, cz), (rx, ry, rz) = points, solid.centre_mm, solid.radii_mm
    return (x - cx) / rx, (y - cy) / ry, (z - cz) / rz
