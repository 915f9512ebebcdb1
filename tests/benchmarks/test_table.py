"""The table: texts of values, targets beside them, and the page between its markers."""

from pathlib import Path

import pytest

from autoseg.errors import FormatError
from comparison.environment import REPOSITORY
from comparison.records import Finished, Line, Results, RunIdentity, Target
from comparison.table import BEGIN, END, markdown_table, rewrite_page, row_of, rows_of, text_table, value_text

GIB = 1024.0**3


def results(load: float = 0.0, quick: bool = False) -> Results:
    lines = {
        "c10": Line("c10.dice", "10 minutes", "Dice", (0.0,), (0.88,), Target("at least", 0.875), has_ratio=False),
        "c2": Line("c2.dice", "2 minutes", "Dice", (0.0,), (0.8,), Target("at least", 0.82), has_ratio=False),
        "a1": Line("a1.wall", "prepare a|b", "s", (20.0, 30.0), (2.0, 2.0), Target("ratio", 8), note="np 1"),
        "e6": Line("e6.wall", "export", "s", (), (3.0,)),
    }
    found = {key: Finished("2026-01-01", 1.0, load, (line,), (f"run {key}",)) for key, line in lines.items()}
    return Results(RunIdentity("abc", "nnunetv2 2.8.1", "two cores", quick), found)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "-"),
        (2.513, "s", "2.51 s"),
        (365.4, "s", "365 s"),
        (3.5 * GIB, "bytes", "3.50 GiB"),
        (0.25 * GIB, "bytes", "256 MiB"),
        (0.83124, "Dice", "0.8312"),
        (99.999951, "%", "99.99995 %"),
        (110.0, "", "110"),
    ],
)
def test_values_are_written_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


def test_a_row_has_medians_every_pair_and_the_target() -> None:
    row = row_of(results().finished["a1"].lines[0])
    assert row == ("prepare a|b", "25 s", "2 s", "12.5", "10 15", "ratio ≥ 8", "met")


def test_rows_are_in_the_order_of_their_numbers() -> None:
    assert [row[0] for row in rows_of(results())] == ["prepare a|b", "2 minutes", "10 minutes", "export"]
    assert [row[-1] for row in rows_of(results())] == ["met", "missed", "met", ""]


def test_the_text_table_has_its_notes_and_tells_of_a_busy_machine() -> None:
    text = text_table(results(load=1.7))
    assert "a1: prepare a|b: np 1" in text
    assert "not idle before it (1.7 cores busy)" in text
    assert "not idle" not in text_table(results())


def test_the_markdown_table_has_one_width_and_says_what_was_run() -> None:
    text = markdown_table(results())
    cells = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert cells == {8}
    assert "abc" in text
    assert "run a1\nrun c2\nrun c10\nrun e6" in text
    assert "mean nothing" not in text
    assert "mean nothing" in markdown_table(results(quick=True))


def test_a_page_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n\n{BEGIN}\nold\n{END}\n\nbelow\n")
    for table in ("first\n", "second\n"):
        rewrite_page(page, table)
    assert page.read_text() == f"above\n\n{BEGIN}\n\nsecond\n\n{END}\n\nbelow\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_a_page_without_its_markers_is_refused(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(FormatError, match="once, in this order"):
        rewrite_page(page, "table")
    assert page.read_text() == text


def test_the_page_of_the_documentation_has_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((REPOSITORY / "documentation" / "explanation" / "performance.md").read_text())
    rewrite_page(page, "table\n")
    assert "\ntable\n" in page.read_text()
