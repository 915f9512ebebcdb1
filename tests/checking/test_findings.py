"""The table of findings, and when two grids agree."""

from __future__ import annotations

from dataclasses import replace

from autoseg.checking import Finding, format_findings, grid_difference
from autoseg.geometry import Geometry

GRID = Geometry((4, 5, 6), (3.0, 1.0, 1.0))


def test_no_findings() -> None:
    assert format_findings([]) == "No findings: the dataset is in order."


def test_the_table_has_a_row_per_finding_and_counts_them() -> None:
    findings = [Finding("error", "a", "It is broken.", "Mend it."), Finding("warning", "case_12", "Odd.", "Look.")]
    lines = format_findings(findings).splitlines()
    assert [line.split()[0] for line in lines] == ["severity", "error", "warning", "1"]
    assert lines[1].index("Mend it.") == lines[2].index("Look.") == lines[0].index("what to do")
    assert lines[-1] == "1 error, 1 warning"


def test_long_sentences_are_wrapped() -> None:
    lines = format_findings([Finding("error", "a", "word " * 40, "do " * 40)]).splitlines()
    assert max(map(len, lines)) <= 130
    assert sum(line.count("word") for line in lines) == 40


def test_equal_grids_do_not_differ() -> None:
    assert grid_difference(GRID, GRID) is None


def test_a_difference_says_by_how_much() -> None:
    difference = grid_difference(GRID, replace(GRID, origin_mm=(0.0, 2.0, 0.0)))
    assert difference is not None
    assert difference.is_error
    assert difference.fact == "corner voxels 2 mm apart"
