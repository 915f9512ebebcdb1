"""An array of voxels together with the grid that it lies on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and where they are.

    array: (Z, Y, X), or (C, Z, Y, X) with one entry per channel; the last three axes are geometry.shape.
    """

    array: np.ndarray
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4) or self.array.shape[-3:] != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} does not lie on a grid of {self.geometry.shape} (z, y, x)")
