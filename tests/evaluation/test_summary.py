"""What many cases come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import FormatError
from autoseg.evaluation import ClassScores, Summary, read_summary, summarize, write_summary
from autoseg.files import read_json, write_json


def scores(dice: float | None, *, status: str = "found", hd95_mm: float | None = None) -> ClassScores:
    return ClassScores(status, 1, 2, 3, 10.0, 8.0, dice, dice, hd95_mm)


def example() -> Summary:
    return summarize(
        {
            "b": {"liver": scores(0.5, hd95_mm=4.0), "spleen": scores(None, status="both_empty")},
            "a": {"liver": scores(1.0, hd95_mm=2.0), "spleen": scores(0.0, status="missed")},
            "c": {"liver": scores(0.9, hd95_mm=3.0)},
        }
    )


def test_mean_dice_is_the_mean_over_classes_of_their_means() -> None:
    assert example().mean_dice == pytest.approx((0.8 + 0.0) / 2)


def test_empties_are_counted_and_not_averaged() -> None:
    spleen = example().classes["spleen"]
    assert (spleen.cases, spleen.found, spleen.missed, spleen.false_alarms, spleen.both_empty) == (2, 0, 1, 0, 1)
    assert (spleen.means["dice"].mean, spleen.means["dice"].count) == (0.0, 1)
    assert spleen.means["volume_difference_mm3"].count == 1


def test_infinite_distances_are_in_no_mean() -> None:
    summary = example()
    assert (summary.classes["spleen"].means["hd95_mm"].count, summary.overall["hd95_mm"].mean) == (0, 3.0)


def test_metrics_that_nobody_measured_are_left_out() -> None:
    assert "surface_dice" not in example().overall
    assert "surface_dice" not in example().classes["liver"].means


def test_cases_are_sorted_and_the_order_given_does_not_matter() -> None:
    summary = example()
    assert list(summary.cases) == ["a", "b", "c"]
    assert summarize(dict(reversed(summary.cases.items()))) == summary


def test_classes_follow_the_given_order() -> None:
    cases = {"a": {"spleen": scores(1.0)}, "b": {"liver": scores(1.0), "spleen": scores(1.0)}}
    assert list(summarize(cases, names=("liver", "kidney", "spleen")).classes) == ["liver", "spleen"]


@pytest.mark.parametrize("cases", [{}, {"a": {"liver": scores(None, status="both_empty")}}])
def test_nothing_to_average_gives_no_mean_dice(cases: dict[str, dict[str, ClassScores]]) -> None:
    assert summarize(cases).mean_dice is None


def test_a_summary_survives_its_file(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", example())
    assert read_summary(tmp_path / "summary.json") == example()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, example())
    write_json(path, {**read_json(path), "schema": 99})
    with pytest.raises(FormatError, match=r"summary\.json: schema must be 1, not 99"):
        read_summary(path)
