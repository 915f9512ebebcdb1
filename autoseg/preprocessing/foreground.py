"""Which voxels of a prepared case belong to each class: a bounded, repeatable sample for choosing patches."""

from __future__ import annotations

import math

import numpy as np

from autoseg.labels import Labels
from autoseg.preprocessing.extents import Extents

ANNOTATED = "ignore"
"""The entry for all voxels that do not carry the ignore label. No class can have this name."""
SEED = 1234
FEWEST = 10_000
SMALLEST_FRACTION = 0.01


def sample_foreground(array: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Voxels of every class. array: (z, y, x) int16 label values. Returns (n, 3) int32 (z, y, x) by class name.

    Of N voxels of a class, max(min(10000, N), ceil(N / 100)) are drawn without replacement, in ascending order; none
    where the class is absent. With an ignore label the entry ANNOTATED samples all voxels that do not carry it.
    """
    extents = Extents.of_values(array, max(labels.values))
    rng = np.random.default_rng(SEED)
    found = {name: _sample(array, values, extents, rng) for name, values in labels.classes.items()}
    if labels.ignore is not None:
        found[ANNOTATED] = _draw([plane != labels.ignore for plane in array], (0, 0, 0), rng)
    return found


def _sample(array: np.ndarray, values: tuple[int, ...], extents: Extents, rng: np.random.Generator) -> np.ndarray:
    """Sample the voxels of a class that has these values, looking only within their box."""
    found = [extents.box(value - 1, slice(0, len(array))) for value in values if value > 0]
    boxes = [box for box in found if box is not None]
    start = [min((box.start[axis] for box in boxes), default=0) for axis in range(3)]
    stop = [max((box.stop[axis] for box in boxes), default=0) for axis in range(3)]
    part = array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return _draw([np.isin(plane, values) for plane in part], (start[0], start[1], start[2]), rng)


def _draw(masks: list[np.ndarray], start: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw from the true voxels of a mask that comes slice by slice; start: of the mask in the array."""
    counts = np.array([np.count_nonzero(mask) for mask in masks], dtype=np.int64)
    total = int(counts.sum())
    size = max(min(FEWEST, total), math.ceil(total * SMALLEST_FRACTION))
    ranks = np.sort(rng.choice(total, size, replace=False)) if total else np.empty(0, np.int64)
    ends = np.cumsum(counts)
    parts = [np.empty((0, 3), np.int32)]
    for z, mask in enumerate(masks):
        first = ends[z] - counts[z]
        inside = ranks[np.searchsorted(ranks, first) : np.searchsorted(ranks, ends[z])] - first
        y, x = np.unravel_index(np.flatnonzero(mask)[inside], mask.shape)
        parts.append(np.stack([np.full(len(y), z), y, x], axis=1).astype(np.int32))
    return np.concatenate(parts) + np.array(start, dtype=np.int32)
