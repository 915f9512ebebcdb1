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
    means, drawn_means, counts = _means(values)
    columns = [_estimate(means[c], drawn_means[:, c], int(counts[c]), int(counts[c])) for c in range(values.shape[1])]
    several = int(np.isfinite(values).any(axis=1).sum())
    overall = _estimate(_finite_mean(means), _finite_mean(drawn_means), int((counts > 0).sum()), several)
    return columns, overall


def estimate_differences(first: np.ndarray, other: np.ndarray) -> tuple[list[Estimate], Estimate]:
    """By how much the means of `other` lie above those of `first`: of each column, and of the mean of the columns.

    first, other: (cases, classes) of the same cases in the same order, NaN where there is no value. The paired
    bootstrap (P. Koehn, Statistical significance tests for machine translation evaluation, EMNLP 2004): in each draw
    both means are taken over the same cases, so that what makes a case hard for both falls out of the difference. A
    class without values on one side has no difference, and no part in the mean. count: cases (for the mean: classes)
    with values on both sides.
    """
    one_sided = np.isfinite(first).any(axis=0) ^ np.isfinite(other).any(axis=0)
    first, other = (np.where(one_sided, np.nan, values) for values in (first, other))
    (means, drawn, _), (other_means, other_drawn, _) = _means(first), _means(other)
    both = (np.isfinite(first) & np.isfinite(other)).sum(axis=0)
    columns = [
        _estimate(other_means[c] - means[c], other_drawn[:, c] - drawn[:, c], int(both[c]), int(both[c]))
        for c in range(first.shape[1])
    ]
    overall = _finite_mean(other_means) - _finite_mean(means)
    several = int((np.isfinite(first) & np.isfinite(other)).any(axis=1).sum())
    drawn_overall = _finite_mean(other_drawn) - _finite_mean(drawn)
    return columns, _estimate(overall, drawn_overall, int(np.isfinite(means).sum()), several)


def _means(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each column: the mean (classes,), the mean in each draw (resamples, classes), and the number of values."""
    finite = np.isfinite(values)
    filled, counts = np.where(finite, values, 0.0), finite.sum(axis=0)
    draws = draw_cases(len(values)) if len(values) else np.zeros((0, 0), dtype=int)
    return _ratio(filled.sum(axis=0), counts), _ratio(draws @ filled, draws @ finite.astype(float)), counts


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
