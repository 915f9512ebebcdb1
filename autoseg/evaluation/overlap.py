"""Which voxels two label maps share, class by class, each looked at inside its own box only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.geometry import Box


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of one class: in both, in the prediction only, in the reference only."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def predicted(self) -> int:
        """Voxels of the prediction."""
        return self.true_positives + self.false_positives

    @property
    def referenced(self) -> int:
        """Voxels of the reference."""
        return self.true_positives + self.false_negatives

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None where both are empty."""
        total = self.predicted + self.referenced
        return 2 * self.true_positives / total if total else None

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN), the Jaccard index; None where both are empty."""
        union = self.predicted + self.false_negatives
        return self.true_positives / union if union else None


def count_overlap(prediction: np.ndarray, reference: np.ndarray) -> Overlap:
    """Count the voxels of two boolean masks of one shape."""
    both = int(np.count_nonzero(prediction & reference))
    return Overlap(both, int(np.count_nonzero(prediction)) - both, int(np.count_nonzero(reference)) - both)


def value_boxes(labels: np.ndarray) -> dict[int, Box]:
    """The box around each value above zero that a label map (Z, Y, X) of integers holds, sorted by value."""
    from scipy.ndimage import find_objects

    boxes = {}
    for value, slices in enumerate(find_objects(labels), start=1):
        if slices is not None:
            boxes[value] = Box(tuple(s.start for s in slices), tuple(s.stop for s in slices))
    return boxes


def joint_box(boxes: list[Box]) -> Box | None:
    """The smallest box that holds all of these; None where there are none."""
    if not boxes:
        return None
    start = tuple(min(starts) for starts in zip(*(box.start for box in boxes), strict=True))
    return Box(start, tuple(max(stops) for stops in zip(*(box.stop for box in boxes), strict=True)))
