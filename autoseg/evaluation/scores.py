"""What is measured about one class in one case, and measuring it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.dataset import Labels
from autoseg.errors import GeometryError
from autoseg.evaluation.overlap import Overlap, count_overlap, joint_box, value_boxes
from autoseg.evaluation.surface import surface_distances
from autoseg.geometry import Geometry
from autoseg.symmetry import name_pairs

DEFAULT_TOLERANCE_MM = 2.0
FOUND, MISSED, FALSE_ALARM, BOTH_EMPTY = "found", "missed", "false_alarm", "both_empty"


@dataclass(frozen=True)
class ClassScores:
    """One class in one case.

    status: found (in both), missed (only in the reference), false_alarm (only in the prediction) or both_empty.
    true_positives, false_positives, false_negatives: voxels. predicted_mm3, reference_mm3: volumes. dice, iou: 0 to 1,
    None where both are empty. hd95_mm, assd_mm: None where either is empty (the distance is infinite) or surfaces were
    not measured. surface_dice: 0 where one is empty, None where both are or surfaces were not measured.
    other_side_voxels: of the predicted mask, where the reference has the class of the other side (the left parotid
    where the right one is); None for a class without such a partner, and where that was not contoured.
    """

    status: str
    true_positives: int
    false_positives: int
    false_negatives: int
    predicted_mm3: float
    reference_mm3: float
    dice: float | None
    iou: float | None
    hd95_mm: float | None = None
    assd_mm: float | None = None
    surface_dice: float | None = None
    other_side_voxels: int | None = None

    @property
    def volume_difference_mm3(self) -> float:
        """The prediction's volume minus the reference's."""
        return self.predicted_mm3 - self.reference_mm3


def evaluate_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    labels: Labels,
    geometry: Geometry,
    *,
    not_contoured: Collection[str] = (),
    surface: bool = True,
    tolerance_mm: float = DEFAULT_TOLERANCE_MM,
) -> dict[str, ClassScores]:
    """Score every class of one case, in the order of labels.

    prediction, reference: (Z, Y, X) integer label maps on the grid `geometry`. not_contoured: classes left out.
    tolerance_mm: of the surface Dice. Voxels that the reference marks as ignored belong to neither mask. Values that
    no class declares are passed over. Raises GeometryError where the shapes differ.
    """
    if not prediction.shape == reference.shape == tuple(geometry.shape):
        raise GeometryError(
            f"The prediction has the shape {prediction.shape}, the reference {reference.shape}, "
            f"their grid {tuple(geometry.shape)}."
        )
    boxes = [value_boxes(prediction), value_boxes(reference)]
    tolerance = tolerance_mm if surface else None

    def masks(name: str, partner: str) -> tuple[np.ndarray, np.ndarray]:
        """A class of the prediction, and one of the reference that is not the first too, within what holds both."""
        values = labels.classes[name] + labels.classes[partner]
        box = joint_box([found[value] for found in boxes for value in values if value in found])
        slices = box.slices if box else (slice(0),) * 3
        predicted = labels.mask(prediction[slices], name)
        if labels.ignore is not None:
            predicted &= reference[slices] != labels.ignore
        referenced = labels.mask(reference[slices], partner)
        return predicted, referenced if partner == name else referenced & ~labels.mask(reference[slices], name)

    partners = other_sides(labels.names)
    scores = {}
    for name in labels.classes:
        if name in not_contoured:
            continue
        scores[name] = score_masks(*masks(name, name), geometry, tolerance_mm=tolerance)
        if name in partners and partners[name] not in not_contoured:
            predicted, referenced = masks(name, partners[name])
            scores[name] = replace(scores[name], other_side_voxels=int((predicted & referenced).sum()))
    return scores


def other_sides(names: Sequence[str]) -> dict[str, str]:
    """By class the one of the other side, by their names: left parotid to right parotid, and back."""
    pairs = name_pairs(names)
    return dict(pairs) | {right: left for left, right in pairs}


def score_masks(
    prediction: np.ndarray, reference: np.ndarray, geometry: Geometry, *, tolerance_mm: float | None
) -> ClassScores:
    """Score one class.

    prediction, reference: (z, y, x) boolean, the same part of the grid `geometry` that holds both masks whole.
    tolerance_mm: of the surface Dice; None leaves the surfaces out.
    """
    overlap = count_overlap(prediction, reference)
    status = _status(overlap)
    hd95_mm, assd_mm, surface_dice = None, None, None
    if tolerance_mm is not None and status in (MISSED, FALSE_ALARM):
        surface_dice = 0.0
    elif tolerance_mm is not None and status == FOUND:
        plane, spacing_mm = _measured_axes(geometry)
        distances = surface_distances(prediction[plane], reference[plane], spacing_mm)
        hd95_mm, assd_mm = distances.hausdorff_mm(95), distances.average_mm()
        surface_dice = distances.dice(tolerance_mm)
    return ClassScores(
        status,
        overlap.true_positives,
        overlap.false_positives,
        overlap.false_negatives,
        overlap.predicted * geometry.voxel_volume_mm3,
        overlap.referenced * geometry.voxel_volume_mm3,
        overlap.dice,
        overlap.iou,
        hd95_mm,
        assd_mm,
        surface_dice,
    )


def _status(overlap: Overlap) -> str:
    if overlap.predicted and overlap.referenced:
        return FOUND
    if overlap.referenced:
        return MISSED
    return FALSE_ALARM if overlap.predicted else BOTH_EMPTY


def _measured_axes(geometry: Geometry) -> tuple[tuple[slice | int, ...], tuple[float, ...]]:
    """How to index a mask for its surface, and the spacing that is left: a single slice is measured in its plane."""
    single = geometry.shape.index(1) if 1 in geometry.shape else None
    index = tuple(0 if axis == single else slice(None) for axis in range(3))
    return index, tuple(mm for axis, mm in enumerate(geometry.spacing_mm) if axis != single)
