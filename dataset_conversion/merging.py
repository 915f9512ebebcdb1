"""Reading binary masks of organs and merging them into one label volume."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from autoseg.checking import grid_difference
from autoseg.errors import FileError, GeometryError
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_labels

logger = logging.getLogger(__name__)

MASK_VALUES = ({0}, {0, 1}, {0, 255}, {1}, {255})


def read_mask(path: Path, geometry: Geometry) -> np.ndarray:
    """Read a binary mask that lies on the grid `geometry`. Returns (Z, Y, X) bool.

    Raises FileError for values other than 0 and 1, or 0 and 255, and GeometryError for another grid.
    """
    volume = read_labels(path)
    difference = grid_difference(geometry, volume.geometry)
    if difference is not None and difference.is_error:
        raise GeometryError(
            f"{path} does not lie on the grid of the image: {difference.fact}.",
            "Resample the mask onto the image's grid, or correct the wrong header.",
        )
    values = set(np.unique(volume.array).tolist())
    if values not in MASK_VALUES:
        raise FileError(
            path,
            f"is not a mask: it holds the values {sorted(values)[:8]}, not only 0 and 1 (or 0 and 255).",
            "Write one file per organ, or convert a volume of several labels in nnU-Net's layout.",
        )
    return volume.array > 0


def merge_masks(
    masks: Mapping[str, np.ndarray], organs: Sequence[str], geometry: Geometry, priority: Sequence[str] = ()
) -> Volume:
    """One label volume out of masks that may overlap.

    masks: organ to (Z, Y, X) bool; organs may be missing. organs: the value of organs[i] is i + 1. priority: organs
    that keep their voxels in an overlap, the first on top of the second, both on top of all others; among the others
    the one with fewer voxels in this case is on top, and on a tie the one that comes first by name.
    """
    labels = np.zeros(geometry.shape, dtype=np.int16)
    for organ in reversed(_from_top(masks, priority)):
        covered = int(np.count_nonzero(labels[masks[organ]]))
        if covered:
            logger.debug("%s takes %d voxels from organs below it", organ, covered)
        labels[masks[organ]] = organs.index(organ) + 1
    return Volume(labels, geometry)


def _from_top(masks: Mapping[str, np.ndarray], priority: Sequence[str]) -> list[str]:
    sizes = {organ: int(np.count_nonzero(mask)) for organ, mask in masks.items()}
    named = [organ for organ in priority if organ in masks]
    return named + sorted(set(masks) - set(named), key=lambda organ: (sizes[organ], organ))
