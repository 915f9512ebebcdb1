"""The head that the phantom draws: tissues as solid shapes, in the order in which they are painted.

Points are (x, y, z) in mm: x grows to the patient's right, y to the front, z to the head (RAS). Every organ shares its
intensity with something that is no organ, so that only shape and place tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Point = tuple[float, float, float]

AIR_HU = -1000
FAT_HU = -90
MUSCLE_HU = 45
BRAIN_HU = 30
BONE_HU = 700
GLAND_HU = -5
FLUID_HU = 5
STEM_HU = 70


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
class Arch:
    """Half of an upright elliptic ring, open to the back: a jaw.

    radii_mm: of the ring's middle line along x and y, and half of its height. thickness_mm: of the wall.
    """

    centre_mm: Point
    radii_mm: Point
    thickness_mm: float = 8.0

    def contains(self, points: np.ndarray) -> np.ndarray:
        """points: (3, ...) mm. Returns (...) bool."""
        x, y, z = _scaled(points, self)
        off_line_mm = np.abs(np.hypot(x, y) - 1) * min(self.radii_mm[:2])
        return (off_line_mm <= self.thickness_mm / 2) & (y >= 0) & (np.abs(z) <= 1)


Solid = Ellipsoid | Column | Arch


def _scaled(points: np.ndarray, solid: Solid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The coordinates x, y, z relative to the solid's centre, in units of its radii."""
    (x, y, z), (cx, cy, cz), (rx, ry, rz) = points, solid.centre_mm, solid.radii_mm
    return (x - cx) / rx, (y - cy) / ry, (z - cz) / rz


@dataclass(frozen=True)
class Tissue:
    """Solids of one intensity. organ: the name of the class that it is, or None for what surrounds the organs.

    varies: whether it moves and grows a little from patient to patient, besides the whole head.
    """

    intensity_hu: float
    solids: tuple[Solid, ...]
    organ: str | None = None
    varies: bool = True


def varied(tissue: Tissue, random: np.random.Generator) -> Tissue:
    """The tissue of one patient: moved by up to 2 mm along each axis and scaled by 0.9 to 1.1, its solids together."""
    if not tissue.varies:
        return tissue
    shift, factor = random.uniform(-2, 2, 3), random.uniform(0.9, 1.1)
    return replace(tissue, solids=tuple(_moved(solid, shift, factor) for solid in tissue.solids))


def _moved(solid: Solid, shift: np.ndarray, factor: float) -> Solid:
    centre, radii = np.asarray(solid.centre_mm) + shift, np.asarray(solid.radii_mm) * factor
    return replace(solid, centre_mm=tuple(centre.tolist()), radii_mm=tuple(radii.tolist()))


def _mirrored(solid: Solid) -> Solid:
    x, y, z = solid.centre_mm
    return replace(solid, centre_mm=(-x, y, z))


def _pair(solid: Solid) -> tuple[Solid, Solid]:
    return solid, _mirrored(solid)


PAROTID_RIGHT = Ellipsoid((26, -8, -16), (7, 11, 12))
EYE_RIGHT = Ellipsoid((17, 31, 12), (7, 7, 7))

HEAD = (
    # The head and the neck, the skull with the brain in it.
    Tissue(FAT_HU, (Ellipsoid((0, 0, 8), (42, 48, 54)), Column((0, -6, -45), (32, 34, 40))), varies=False),
    Tissue(MUSCLE_HU, (Ellipsoid((0, 0, 8), (39, 45, 51)), Column((0, -6, -45), (28, 30, 40))), varies=False),
    Tissue(BONE_HU, (Ellipsoid((0, 0, 10), (36, 42, 46), floor_mm=-6),), varies=False),
    Tissue(BRAIN_HU, (Ellipsoid((0, 0, 10), (32, 38, 42), floor_mm=-2),), varies=False),
    # What looks like the brainstem (cerebellum, cord, vessels), like an eye, like a gland, and like the mandible.
    Tissue(STEM_HU, (Ellipsoid((0, -26, 6), (20, 8, 7)),)),
    Tissue(FLUID_HU, _pair(Ellipsoid((8, 2, 30), (5, 14, 6)))),
    Tissue(AIR_HU, (Column((0, 6, -35), (6, 5, 28)),)),
    Tissue(BONE_HU, (Column((0, -22, -42), (10, 9, 32)),), varies=False),
    Tissue(STEM_HU, (Column((0, -19, -42), (4, 4, 40)),), varies=False),
    Tissue(STEM_HU, _pair(Column((15, -4, -42), (3.5, 3.5, 24)))),
    Tissue(GLAND_HU, (*_pair(Ellipsoid((17, -22, -44), (6, 7, 10))), Ellipsoid((0, 20, -42), (13, 7, 6)))),
    Tissue(BONE_HU, (Arch((0, 10, -7), (17, 20, 4)),)),
    Tissue(FAT_HU, _pair(Ellipsoid((17, 29, 12), (10, 12, 10))), varies=False),
    # The organs.
    Tissue(STEM_HU, (Ellipsoid((0, -13, -3), (9, 8, 18)),), "brainstem"),
    Tissue(FLUID_HU, (_mirrored(EYE_RIGHT),), "eye_left"),
    Tissue(FLUID_HU, (EYE_RIGHT,), "eye_right"),
    Tissue(GLAND_HU, (_mirrored(PAROTID_RIGHT),), "parotid_left"),
    Tissue(GLAND_HU, (PAROTID_RIGHT,), "parotid_right"),
    Tissue(BONE_HU, (Arch((0, 4, -22), (24, 25, 7)), *_pair(Ellipsoid((24, 4, -12), (4, 7, 13)))), "mandible"),
)
