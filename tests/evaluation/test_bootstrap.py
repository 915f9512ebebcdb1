"""Means and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.evaluation.bootstrap import Estimate, draw_cases, estimate_means


def test_the_mean_leaves_out_missing_values() -> None:
    columns, overall = estimate_means(np.array([[1.0, np.nan], [0.5, 0.25], [0.0, np.nan]]))
    assert (columns[0].mean, columns[0].count) == (0.5, 3)
    assert columns[1] == Estimate(0.25, None, None, 1)
    assert (overall.mean, overall.count) == ((0.5 + 0.25) / 2, 2)


def test_missing_values_do_not_move_the_interval() -> None:
    (column,), _ = estimate_means(np.array([[0.5], [0.5], [np.nan], [np.nan], [np.nan]]))
    assert (column.low, column.high) == (0.5, 0.5)


def test_a_class_without_values_has_no_mean_and_no_part_in_the_overall_mean() -> None:
    columns, overall = estimate_means(np.array([[0.8, np.nan], [0.6, np.nan]]))
    assert columns[1] == Estimate(None, None, None, 0)
    assert overall.mean == pytest.approx(0.7)


def test_no_cases_give_no_mean() -> None:
    columns, overall = estimate_means(np.zeros((0, 1)))
    assert columns == [Estimate(None, None, None, 0)]
    assert overall == Estimate(None, None, None, 0)


def test_every_draw_has_as_many_cases_as_there_are() -> None:
    draws = draw_cases(7)
    assert draws.shape == (2000, 7)
    assert (draws.sum(axis=1) == 7).all()


def test_the_interval_is_the_normal_one_for_many_cases() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, size=(400, 1))
    (column,), overall = estimate_means(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert column.low == pytest.approx(values.mean() - half, abs=0.0015)
    assert column.high == pytest.approx(values.mean() + half, abs=0.0015)
    assert (overall.low, overall.high) == (column.low, column.high)


def test_classes_that_go_together_widen_the_overall_interval() -> None:
    first = np.random.default_rng(2).normal(0.8, 0.1, size=200)
    together = estimate_means(np.stack([first, first], axis=1))[1]
    opposed = estimate_means(np.stack([first, 1.6 - first], axis=1))[1]
    assert together.low is not None
    assert together.high is not None
    assert together.high - together.low > 0.02
    assert opposed.low == pytest.approx(opposed.high)


def test_the_interval_equals_scipys() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).uniform(0, 1, 30)
    theirs = bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0))
    (column,), _ = estimate_means(values[:, None])
    assert column.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert column.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)
