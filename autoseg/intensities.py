"""Intensity statistics of many cases, from a bounded sample of each: exact moments, percentiles by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.plans import IntensityStatistics

SAMPLE_POINTS_IN_ALL = 1 << 22
BLOCK = 1 << 20
SAMPLE_POINTS_PER_CASE = (1 << 12, 1 << 18)


@dataclass(frozen=True, eq=False)
class IntensitySample:
    """The foreground of one case in one channel, in bounded memory.

    count, total, squares (the sum of squared deviations from the case's mean), minimum and maximum are of every voxel.
    values: (n,) float32 sorted; weights: (n,) float64, the voxels that each value stands for.
    """

    count: int
    total: float
    squares: float
    minimum: float
    maximum: float
    values: np.ndarray
    weights: np.ndarray


def points_per_case(cases: int) -> int:
    """How many values a case may keep, so that all of them together stay within some 60 MB."""
    least, most = SAMPLE_POINTS_PER_CASE
    return int(np.clip(SAMPLE_POINTS_IN_ALL // max(1, cases), least, most))


def sample_intensities(voxels: np.ndarray, points: int) -> IntensitySample:
    """Summarise (n,) voxels of one case; those that are not finite are left out.

    Where there are at most `points` different values, all are kept with their counts: percentiles are then exact, as
    they are for CT in whole HU. Else the values at `points` evenly spaced ranks are kept, each for an equal share of
    the voxels: a percentile is off by at most 50 / points percent of the ranks of this case.
    """
    voxels = np.sort(voxels[np.isfinite(voxels)])
    if voxels.size == 0:
        return IntensitySample(0, 0.0, 0.0, np.inf, -np.inf, np.zeros(0, np.float32), np.zeros(0))
    total = float(voxels.sum(dtype=np.float64))
    squares = sum(
        _squared_deviations(part, total / voxels.size) for part in np.array_split(voxels, 1 + voxels.size // BLOCK)
    )
    starts = np.flatnonzero(np.concatenate([[True], voxels[1:] != voxels[:-1]]))
    if starts.size <= points:
        values, weights = voxels[starts], np.diff(np.append(starts, voxels.size)).astype(np.float64)
    else:
        ranks = ((np.arange(points) + 0.5) * voxels.size / points).astype(np.int64)
        values, weights = voxels[ranks], np.full(points, voxels.size / points)
    return IntensitySample(
        voxels.size, total, squares, float(voxels[0]), float(voxels[-1]), values.astype(np.float32), weights
    )


def _squared_deviations(voxels: np.ndarray, mean: float) -> float:
    return float(np.square(voxels.astype(np.float64) - mean).sum())


def merge_samples(samples: Sequence[IntensitySample]) -> IntensityStatistics | None:
    """Statistics over the voxels of all cases; None where there is none. Each voxel of the foreground counts alike.

    The result depends on the order of the samples in the last bit only; callers keep the order of the cases.
    """
    samples = [sample for sample in samples if sample.count]
    if not samples:
        return None
    counts = np.array([sample.count for sample in samples], dtype=np.float64)
    means = np.array([sample.total for sample in samples]) / counts
    mean = float((counts * means).sum() / counts.sum())
    squares = sum(sample.squares for sample in samples) + float((counts * (means - mean) ** 2).sum())
    values = np.concatenate([sample.values for sample in samples])
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(np.concatenate([sample.weights for sample in samples])[order])
    low, median, high = (_at_rank(values[order], cumulated, fraction) for fraction in (0.005, 0.5, 0.995))
    return IntensityStatistics(
        mean=mean,
        median=median,
        std=float(np.sqrt(squares / counts.sum())),
        min=min(sample.minimum for sample in samples),
        max=max(sample.maximum for sample in samples),
        percentile_00_5=low,
        percentile_99_5=high,
    )


def _at_rank(values: np.ndarray, cumulated: np.ndarray, fraction: float) -> float:
    """The smallest value at or below which at least this fraction of the voxels lies."""
    index = int(np.searchsorted(cumulated, fraction * cumulated[-1] * (1 - 1e-12)))
    return float(values[min(index, values.size - 1)])
