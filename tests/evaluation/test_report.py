"""The JSON, the CSV and the table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.errors import FormatError
from autoseg.evaluation import ClassScores, Report, summarize
from autoseg.evaluation.report import format_table, read_report, write_csv, write_report
from autoseg.files import read_json, write_json


def example() -> Report:
    found = ClassScores("found", 4, 1, 1, 5.0, 5.0, 0.8, 4 / 6, 1.5, 0.25, 0.9)
    missed = ClassScores("missed", 0, 0, 7, 0.0, 7.0, 0.0, 0.0, None, None, 0.0)
    empty = ClassScores("both_empty", 0, 0, 0, 0.0, 0.0, None, None)
    cases = {"a": {"liver": found, "lens": missed}, "b": {"liver": found, "lens": empty}}
    return Report("out", "labels", "dataset.json", summarize(cases, tolerance_mm=2.0), missing=("c",))


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    write_report(tmp_path / "evaluation.json", example())
    assert read_report(tmp_path / "evaluation.json") == example()


def test_a_report_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_report(path, example())
    write_json(path, {**read_json(path), "schema": 0})
    with pytest.raises(FormatError, match="schema must be 1, not 0"):
        read_report(path)


def test_the_csv_has_a_line_per_case_and_class(tmp_path: Path) -> None:
    write_csv(tmp_path / "evaluation.csv", example().summary)
    rows = list(csv.DictReader((tmp_path / "evaluation.csv").read_text().splitlines()))
    assert [(row["case"], row["class"], row["dice"], row["hd95_mm"]) for row in rows] == [
        ("a", "liver", "0.8", "1.5"),
        ("a", "lens", "0.0", ""),
        ("b", "liver", "0.8", "1.5"),
        ("b", "lens", "", ""),
    ]
    assert rows[1]["volume_difference_mm3"] == "-7.0"


def test_the_table_shows_means_counts_and_what_they_leave_out() -> None:
    lines = format_table(example()).splitlines()
    assert lines[0].split("  ")[0] == "class"
    assert " ".join(lines[2].split()) == "liver 0.8000 [0.800, 0.800] 0.6667 1.50 0.250 0.9000 2 0 0 0"
    assert " ".join(lines[3].split()) == "lens 0.0000 0.0000 - - 0.0000 2 1 0 1"
    assert lines[5].split()[:2] == ["mean", "0.4000"]
    remarks = " ".join(lines[6:])
    assert "Both empty" in remarks
    assert "1 cases have no prediction" in remarks


def test_columns_are_aligned() -> None:
    lines = format_table(example()).splitlines()
    assert {len(line) for line in (lines[0], lines[1], lines[2], lines[4])} == {len(lines[0])}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((0, 0), ["Left is nowhere called right: no voxel of a class lies in the reference of the other side's."]),
        ((3, 4), ["eye_left: 7 voxels in 2 of 2 cases lie where the reference has eye_right."]),
        ((0, 4), ["eye_left: 4 voxels in 1 of 2 cases lie where the reference has eye_right."]),
        ((None, None), []),
    ],
)
def test_the_table_tells_where_left_is_called_right(wrong: tuple[int | None, int | None], said: list[str]) -> None:
    left, right = ClassScores("found", 4, 1, 1, 5.0, 5.0, 0.8, 4 / 6), ClassScores("missed", 0, 0, 7, 0, 7, 0, 0)
    cases = {
        name: {"eye_left": replace(left, other_side_voxels=count), "eye_right": right}
        for name, count in zip("ab", wrong, strict=True)
    }
    lines = format_table(Report("out", "labels", "dataset.json", summarize(cases))).splitlines()
    assert [line for line in lines if "eft" in line and "the reference" in line] == said
