"""Means with the interval in which they lie when the cases are drawn anew: the percentile bootstrap.

The cases are drawn with replacement as often as there are cases; the mean of each of many such draws is taken; the
interval reaches from the 2.5 % to the 97.5 % percentile of these means (B. Efron, R. Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13). The draws depend on the number of cases only: the same scores give the same interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE_PERCENT = 95.0
SEED = 12345


@dataclass(frozen=True)
class Estimate:
    """A mean over cases.

    mean: None where no case has a value. low, high: the 95 % bootstrap interval; None with fewer than two values.
    count: the values that the mean is taken over (for a mean over classes: the classes).
    """

    mean: float | None
    low: float | None
    high: float | None
    count: int


def draw_cases(count: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples, count) how often each case appears in each draw; each row sums to count."""
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, count, size=(resamples, count))
    return np.stack([np.bincount(row, minlength=count) for row in drawn])


def estimate_means(values: np.ndarray) -> tuple[list[Estimate], Estimate]:
    """The mean of each column over its finite values, and the mean of these means.

    values: (cases, classes), NaN where a case has no value for a class. Whole cases are drawn, so that the interval of
    the mean over classes knows that a case's classes go together. A class without any value is left out of that mean.
    """
    finite = np.isfinite(values)
    filled = np.where(finite, values, 0.0)
    means = _ratio(filled.sum(axis=0), finite.sum(axis=0))
    draws = draw_cases(len(values)) if len(values) else np.zeros((0, 0), dtype=int)
    drawn_means = _ratio(draws @ filled, draws @ finite.astype(float))
    counts = finite.sum(axis=0)
    columns = [_estimate(means[c], drawn_means[:, c], int(counts[c]), int(counts[c])) for c in range(values.shape[1])]
    several = int(finite.any(axis=1).sum())
    overall = _estimate(_finite_mean(means), _finite_mean(drawn_means), int((counts > 0).sum()), several)
    return columns, overall


def _estimate(mean: np.ndarray, drawn: np.ndarray, count: int, cases: int) -> Estimate:
    if not np.isfinite(mean):
        return Estimate(None, None, None, count)
    if cases < 2:
        return Estimate(float(mean), None, None, count)
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(drawn[np.isfinite(drawn)], [tail, 100 - tail])
    return Estimate(float(mean), float(low), float(high), count)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The sums over the counts, NaN where a count is zero."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _finite_mean(values: np.ndarray) -> np.ndarray:
    """The mean along the last axis over finite values, NaN where there are none."""
    finite = np.isfinite(values)
    return _ratio(np.where(finite, values, 0.0).sum(axis=-1), finite.sum(axis=-1))
