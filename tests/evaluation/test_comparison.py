"""Comparing variants: paired intervals against scipy's, what has no value, and the files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap

from autoseg.errors import DatasetError
from autoseg.evaluation.bootstrap import Estimate, estimate_differences, estimate_means
from autoseg.evaluation.comparison import Comparison, compare, format_comparison, write_comparison
from autoseg.evaluation.scores import ClassScores
from autoseg.evaluation.summary import Summary, summarize
from autoseg.files import from_json, read_json


def hard_and_easy_cases(count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Two variants: cases differ by far more than the variants, of which the second is a little better."""
    rng = np.random.default_rng(3)
    first = rng.uniform(0.3, 0.9, (count, 2))
    return first, first + rng.normal([0.02, 0.0], 0.01, (count, 2))


@pytest.mark.parametrize("column", [0, 1])
def test_the_interval_is_that_of_scipys_paired_bootstrap(column: int) -> None:
    first, other = hard_and_easy_cases()
    columns, _ = estimate_differences(first, other)
    differences = (other - first)[:, column]
    oracle = bootstrap((differences,), np.mean, n_resamples=20000, method="percentile", rng=0).confidence_interval
    assert columns[column].mean == pytest.approx(differences.mean())
    assert columns[column].low == pytest.approx(oracle.low, abs=4e-4)
    assert columns[column].high == pytest.approx(oracle.high, abs=4e-4)


def test_pairing_sees_what_separate_intervals_do_not() -> None:
    first, other = hard_and_easy_cases()
    (one, _), _ = estimate_means(first)
    (two, _), _ = estimate_means(other)
    (difference, _), _ = estimate_differences(first, other)
    assert one.high is not None and two.low is not None and difference.low is not None  # noqa: PT018 - one fact
    assert two.low < one.high
    assert difference.low > 0


def test_the_difference_is_that_of_the_means_shown() -> None:
    first = np.array([[0.5, np.nan], [0.7, 0.4], [np.nan, 0.2]])
    other = np.array([[0.6, 0.8], [np.nan, 0.6], [0.2, 0.1]])
    columns, overall = estimate_differences(first, other)
    (one, one_overall), (two, two_overall) = estimate_means(first), estimate_means(other)
    for column, a, b in zip(columns, one, two, strict=True):
        assert a.mean is not None
        assert column.mean == pytest.approx(b.mean - a.mean)  # type: ignore[operator]
    assert overall.mean == pytest.approx(two_overall.mean - one_overall.mean)  # type: ignore[operator]
    assert [column.count for column in columns] == [1, 2]


def test_a_class_that_one_side_lacks_has_no_difference_and_no_part_in_the_mean() -> None:
    first, other = np.array([[0.5, np.nan], [0.7, np.nan]]), np.array([[0.6, 0.1], [0.8, 0.1]])
    columns, overall = estimate_differences(first, other)
    assert columns[1] == Estimate(None, None, None, 0)
    assert (overall.mean, overall.count) == (pytest.approx(0.1), 1)


def test_a_single_case_has_no_interval() -> None:
    (column,), _ = estimate_differences(np.array([[0.5]]), np.array([[0.75]]))
    assert column == Estimate(0.25, None, None, 1)


def scored(dice: float) -> ClassScores:
    return ClassScores("found", 1, 0, 0, 1.0, 1.0, dice, dice)


def summary(*rows: Sequence[float]) -> Summary:
    """A case per row and a class per value."""
    return summarize(
        {f"c{n}": {name: scored(dice) for name, dice in zip("ab", row, strict=True)} for n, row in enumerate(rows)}
    )


@pytest.fixture
def comparison() -> Comparison:
    two, three = summary((0.5, 0.4), (0.6, 0.2)), summary((0.7, 0.4), (0.8, 0.2))
    return compare("pooling", {"2": [two, two], "3": [three, two]}, ("a", "b"))


def test_seeds_are_averaged_case_by_case(comparison: Comparison) -> None:
    assert np.array(comparison.dice["3"]) == pytest.approx(np.array([[0.6, 0.4], [0.7, 0.2]]))
    assert (comparison.seeds, comparison.cases) == (2, ("c0", "c1"))
    assert comparison.variants["3"].difference["a"].mean == pytest.approx(0.1)
    assert comparison.variants["2"].difference == {}


def test_other_cases_are_refused() -> None:
    with pytest.raises(DatasetError, match="The variant 3 was scored on other cases"):
        compare("pooling", {"2": [summary((0.5, 0.4))], "3": [summary((0.5, 0.4), (0.6, 0.2))]}, ("a", "b"))


def test_the_table_names_the_variants_and_stars_what_excludes_zero(comparison: Comparison) -> None:
    lines = format_comparison(comparison).splitlines()
    assert lines[0].split()[:3] == ["class", "2", "3"]
    assert lines[2].split()[:4] == ["a", "0.5500", "0.6500", "+0.1000"]
    assert lines[2].endswith("*")
    assert not lines[3].endswith("*")
    assert lines[5].split()[:4] == ["mean", "0.4250", "0.4750", "+0.0500"]
    assert lines[-1].startswith("Dice over 2 cases, the mean of 2 seeds, by pooling.")


def test_the_files_hold_everything(comparison: Comparison, tmp_path: Path) -> None:
    write_comparison(tmp_path, comparison)
    path = tmp_path / "comparison.json"
    assert from_json(Comparison, read_json(path), path) == comparison
    rows = list(csv.reader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert rows[0] == ["case", "class", "2", "3"]
    assert [row[:2] for row in rows[1:]] == [["c0", "a"], ["c0", "b"], ["c1", "a"], ["c1", "b"]]
    assert float(rows[1][3]) == pytest.approx(0.6)
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"
