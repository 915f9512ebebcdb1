"""Where a grid of voxels lies in the world, and boxes on it.

Arrays are indexed (z, y, x). The world is RAS+ in millimetres, as in NIfTI, with coordinates (x, y, z).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.errors import GeometryError

Triple = tuple[float, float, float]
Shape = tuple[int, ...]

ORTHOGONALITY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """The grid of a volume.

    shape: (Z, Y, X) voxels. spacing_mm: along the array axes (z, y, x). origin_mm: world (x, y, z) of the centre of
    voxel (0, 0, 0). direction: three unit vectors in the world, direction[a] along array axis a; they are orthogonal.
    """

    shape: tuple[int, int, int]
    spacing_mm: Triple
    origin_mm: Triple = (0.0, 0.0, 0.0)
    direction: tuple[Triple, Triple, Triple] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))

    def __post_init__(self) -> None:
        axes = np.asarray(self.direction, dtype=float)
        numbers = np.concatenate([np.ravel(self.spacing_mm), np.ravel(self.origin_mm), axes.ravel()])
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"A grid needs three axes of at least one voxel, not {self.shape}.")
        if not np.isfinite(numbers).all():
            raise GeometryError(f"The grid has non-finite numbers: spacing {self.spacing_mm}, origin {self.origin_mm}.")
        if min(self.spacing_mm) <= 0:
            raise GeometryError(f"Spacing must be positive on every axis, not {self.spacing_mm} mm (z, y, x).")
        if np.abs(axes @ axes.T - np.eye(3)).max() > ORTHOGONALITY_TOLERANCE:
            raise GeometryError(
                "The axes of the grid are sheared or singular.",
                "Resample the volume to a grid with orthogonal axes.",
            )

    @classmethod
    def from_affine(cls, shape: tuple[int, int, int], affine: np.ndarray) -> Geometry:
        """The grid of an array (Z, Y, X) = file array (i, j, k) transposed; affine: (4, 4), (i, j, k) to RAS mm."""
        affine = np.asarray(affine, dtype=float)
        if not np.isfinite(affine).all():
            raise GeometryError("The affine holds NaN or infinity.")
        columns = affine[:3, 2::-1].T
        spacing = np.linalg.norm(columns, axis=1)
        if (spacing <= 0).any():
            raise GeometryError(f"The affine is singular: spacing {tuple(spacing)} mm (z, y, x).")
        direction = columns / spacing[:, None]
        return cls(
            (int(shape[0]), int(shape[1]), int(shape[2])),
            _triple(spacing),
            _triple(affine[:3, 3]),
            (_triple(direction[0]), _triple(direction[1]), _triple(direction[2])),
        )

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) float64, from file index (i, j, k) = (x, y, z) of the array to RAS mm: what NIfTI stores."""
        matrix = np.eye(4)
        matrix[:3, :3] = (np.asarray(self.direction) * np.asarray(self.spacing_mm)[:, None])[::-1].T
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def voxel_volume_mm3(self) -> float:
        """The volume of one voxel in cubic millimetres."""
        return float(np.prod(self.spacing_mm))

    def voxel_to_world(self, voxels: np.ndarray) -> np.ndarray:
        """Map (..., 3) indices (z, y, x) to (..., 3) world points (x, y, z) in mm."""
        steps = np.asarray(self.direction) * np.asarray(self.spacing_mm)[:, None]
        return np.asarray(voxels, dtype=float) @ steps + np.asarray(self.origin_mm)

    def world_to_voxel(self, points: np.ndarray) -> np.ndarray:
        """Map (..., 3) world points (x, y, z) in mm to (..., 3) fractional indices (z, y, x)."""
        steps = np.asarray(self.direction) * np.asarray(self.spacing_mm)[:, None]
        return (np.asarray(points, dtype=float) - np.asarray(self.origin_mm)) @ np.linalg.inv(steps)

    def corners_mm(self) -> np.ndarray:
        """(8, 3) world points (x, y, z) of the centres of the corner voxels."""
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), -1).reshape(-1, 3)
        return self.voxel_to_world(corners)

    def matches(self, other: Geometry, tolerance_mm: float = 1e-2) -> bool:
        """Whether both grids have one shape and their corner voxels lie within tolerance_mm of each other."""
        return self.shape == other.shape and self.corner_distance_mm(other) <= tolerance_mm

    def corner_distance_mm(self, other: Geometry) -> float:
        """The largest distance in mm between corresponding corner voxels of two grids."""
        return float(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max())

    def left_right_axis(self) -> tuple[int, bool]:
        """The array axis that runs most nearly left to right, and whether its index grows towards the right.

        In RAS+ the world's x grows towards the patient's right side.
        """
        along_x = [vector[0] for vector in self.direction]
        axis = int(np.argmax(np.abs(along_x)))
        return axis, along_x[axis] > 0

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "shape": list(self.shape),
            "spacing_mm": list(self.spacing_mm),
            "origin_mm": list(self.origin_mm),
            "direction": [list(vector) for vector in self.direction],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Geometry:
        """The inverse of to_json."""
        shape, direction = values["shape"], [_triple(vector) for vector in values["direction"]]
        return cls(
            (int(shape[0]), int(shape[1]), int(shape[2])),
            _triple(values["spacing_mm"]),
            _triple(values["origin_mm"]),
            (direction[0], direction[1], direction[2]),
        )


@dataclass(frozen=True)
class Box:
    """Half-open ranges of indices: start[a] <= index < stop[a]. It may reach outside an array."""

    start: Shape
    stop: Shape

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise GeometryError(f"A box needs as many starts as stops: {self.start}, {self.stop}.")

    @classmethod
    def whole(cls, shape: Shape) -> Box:
        """The box of a whole array."""
        return cls(tuple(0 for _ in shape), tuple(int(n) for n in shape))

    @classmethod
    def around(cls, mask: np.ndarray) -> Box | None:
        """The smallest box that holds every true voxel of a mask of any dimension; None where there is none."""
        start, stop = [], []
        for axis in range(mask.ndim):
            line = np.asarray(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
            if not line.any():
                return None
            start.append(int(line.argmax()))
            stop.append(int(len(line) - line[::-1].argmax()))
        return cls(tuple(start), tuple(stop))

    @property
    def shape(self) -> Shape:
        """Edge lengths in voxels."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """For indexing an array that holds the whole box."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def clipped(self, shape: Shape) -> Box:
        """The part of the box that lies inside an array of this shape (possibly empty, never negative)."""
        start = tuple(min(max(a, 0), n) for a, n in zip(self.start, shape, strict=True))
        return Box(start, tuple(max(s, min(b, n)) for s, b, n in zip(start, self.stop, shape, strict=True)))

    def grown(self, margin: Shape) -> Box:
        """The box with a margin in voxels on both sides of each axis."""
        return Box(
            tuple(a - m for a, m in zip(self.start, margin, strict=True)),
            tuple(b + m for b, m in zip(self.stop, margin, strict=True)),
        )


def _triple(values: Any) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])
