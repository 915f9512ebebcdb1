"""How far two surfaces lie apart, each point weighted by the area of surface that it stands for.

The definitions are those of google-deepmind/surface-distance, to which the results are equal to 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.evaluation.surfels import contour_lengths, neighbour_codes, surfel_areas
from autoseg.geometry import Box

NEAR_VOXELS = 16
FEW_POINTS = 2000
# Grid points of the box: a distance transform takes about 40 bytes for each.
LARGEST_TRANSFORM = 2**25


@dataclass(frozen=True, eq=False)
class Surface:
    """The points of one surface.

    points: (n, d) indices on the grid between the voxels. areas: (n,) mm2 (mm of contour in a plane). present: the
    grid as a boolean map of the points.
    """

    points: np.ndarray
    areas: np.ndarray
    present: np.ndarray


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """From every point of each surface to the nearest point of the other; both sorted by distance.

    to_reference, to_prediction: (n,) mm, of the points of the prediction's and of the reference's surface.
    prediction_areas, reference_areas: (n,) mm2, in the same order.
    """

    to_reference: np.ndarray
    prediction_areas: np.ndarray
    to_prediction: np.ndarray
    reference_areas: np.ndarray

    def hausdorff_mm(self, percent: float = 95.0) -> float:
        """The larger of the two distances within which this share of each surface's area lies, in mm."""
        return max(
            _percentile(self.to_reference, self.prediction_areas, percent),
            _percentile(self.to_prediction, self.reference_areas, percent),
        )

    def average_mm(self) -> float:
        """ASSD: the mean of the two area-weighted mean distances, in mm."""
        there = np.average(self.to_reference, weights=self.prediction_areas)
        back = np.average(self.to_prediction, weights=self.reference_areas)
        return float(there + back) / 2

    def dice(self, tolerance_mm: float) -> float:
        """The share of both surfaces' area that lies within tolerance_mm of the other surface, 0 to 1."""
        close = self.prediction_areas[self.to_reference <= tolerance_mm].sum()
        close += self.reference_areas[self.to_prediction <= tolerance_mm].sum()
        return float(close / (self.prediction_areas.sum() + self.reference_areas.sum()))


def surface_distances(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks that both hold something.

    prediction, reference: boolean, of one shape with three axes, or with two: then contours are measured instead of
    surfaces, mm instead of mm2. spacing_mm: per axis.
    """
    box = Box.around(prediction | reference)
    assert box is not None
    first = _surface(prediction[box.slices], spacing_mm)
    second = _surface(reference[box.slices], spacing_mm)
    there, there_areas = _sorted(_nearest_mm(first, second, spacing_mm), first.areas)
    back, back_areas = _sorted(_nearest_mm(second, first, spacing_mm), second.areas)
    return SurfaceDistances(there, there_areas, back, back_areas)


def _surface(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> Surface:
    codes = neighbour_codes(np.ascontiguousarray(mask))
    if mask.ndim == 2:
        table = contour_lengths((spacing_mm[0], spacing_mm[1]))
    else:
        table = surfel_areas((spacing_mm[0], spacing_mm[1], spacing_mm[2]))
    present = (codes != 0) & (codes != len(table) - 1)
    return Surface(np.argwhere(present), table[codes[present]], present)


def _nearest_mm(start: Surface, goal: Surface, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """(n,) mm from each point of start to the nearest of goal.

    Zero where they share it, else found in a k-d tree, which is quicker and smaller than a distance transform of the
    box while surfaces lie close. For many points far off (a ball's centre is equally far from all of its surface) the
    tree would be slow, and the transform takes over.
    """
    from scipy.spatial import cKDTree

    spacing = np.asarray(spacing_mm, dtype=float)
    apart = ~goal.present[tuple(start.points.T)]
    if not apart.any():
        return np.zeros(len(start.points))
    points = start.points[apart]
    tree = cKDTree(goal.points * spacing)
    nearest = tree.query(points * spacing, distance_upper_bound=NEAR_VOXELS * spacing.max())[1]
    far = nearest == len(goal.points)
    if np.count_nonzero(far) > FEW_POINTS and goal.present.size <= LARGEST_TRANSFORM:
        return _transformed_mm(start, goal, spacing)
    if far.any():
        nearest[far] = tree.query(points[far] * spacing)[1]
    distances = np.zeros(len(start.points))
    # From whole indices, so that rounding does not push a distance of exactly the tolerance over it.
    distances[apart] = np.sqrt((((points - goal.points[nearest]) * spacing) ** 2).sum(axis=1))
    return distances


def _transformed_mm(start: Surface, goal: Surface, spacing: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~goal.present, sampling=spacing)[start.present]


def _sorted(distances: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((areas, distances))
    return distances[order], areas[order]


def _percentile(distances: np.ndarray, areas: np.ndarray, percent: float) -> float:
    """The smallest of the sorted distances up to which at least this share of the area lies."""
    share = np.cumsum(areas) / areas.sum()
    index = int(np.searchsorted(share, percent / 100))
    return float(distances[min(index, len(distances) - 1)])
