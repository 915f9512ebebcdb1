"""From the probabilities of organs in their regions to one answer on the volume's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.geometry import Box
from autoseg.labels import Labels
from autoseg.preprocessing.resampling import shifted


@dataclass(frozen=True, eq=False)
class OrganProbability:
    """probability: (z, y, x) float32 that a voxel of the box belongs to the organ."""

    organ: str
    box: Box
    probability: np.ndarray


def merged_labels(parts: Sequence[OrganProbability], labels: Labels, shape: tuple[int, ...]) -> np.ndarray:
    """(Z, Y, X) int16: the organ of the highest probability above one half, the earlier part on a tie; else 0."""
    merged = np.zeros(shape, dtype=np.int16)
    for number, part in enumerate(parts):
        wins = part.probability > 0.5
        for earlier in parts[:number]:
            ours, theirs = _overlap(part.box, earlier.box)
            if ours is not None and theirs is not None:
                wins[ours] &= part.probability[ours] > earlier.probability[theirs]
        merged[part.box.slices][wins] = labels.classes[part.organ][0]
    return merged


def merged_probabilities(parts: Sequence[OrganProbability], labels: Labels, shape: tuple[int, ...]) -> np.ndarray:
    """(K, Z, Y, X) float32 with the background first, a sum of one, and the largest where merged_labels decides so.

    Before scaling, a class has its organ's probability and the background 1 - max; outside all regions it is sure.
    """
    merged = np.zeros((labels.output_count, *shape), dtype=np.float32)
    merged[0] = 1
    for part in parts:
        inside = merged[labels.names.index(part.organ) + 1][part.box.slices]
        np.maximum(inside, part.probability, out=inside)
        background = merged[0][part.box.slices]
        np.minimum(background, 1 - part.probability, out=background)
    for plane in range(shape[0]):
        merged[:, plane] /= merged[:, plane].sum(axis=0)
    return merged


def _overlap(box: Box, other: Box) -> tuple[tuple[slice, ...] | None, tuple[slice, ...] | None]:
    """What two boxes share, as an index into either; None twice where they share nothing."""
    start = tuple(map(max, zip(box.start, other.start, strict=True)))
    stop = tuple(map(min, zip(box.stop, other.stop, strict=True)))
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        return None, None
    common = Box(start, stop)
    return shifted(common, box), shifted(common, other)


def found_organs(merged: np.ndarray, labels: Labels) -> set[str]:
    """The classes that have a voxel. merged: (Z, Y, X) label values."""
    counts = np.zeros(max(labels.values) + 1, dtype=np.int64)
    for plane in merged:
        part = np.bincount(plane.ravel())
        counts[: len(part)] += part
    return {name for name, (value,) in labels.classes.items() if counts[value]}
