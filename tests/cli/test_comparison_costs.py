"""What variants cost, as a table and as the mean over seeds."""

from __future__ import annotations

import pytest

from autoseg.cli.comparison_costs import PartCost, VariantCost, format_costs, mean_cost


def cost(scale: float, per_case: float | None = None) -> VariantCost:
    """Of two stages."""
    parts = {"locate": PartCost(1e6, 60, scale), "organs": PartCost(3e6 * scale, 600 * scale, 2 * scale)}
    return VariantCost(1e6 + 3e6 * scale, 60 + 600 * scale, 3 * scale, per_case, parts)


def test_the_mean_over_seeds_is_taken_part_by_part() -> None:
    assert mean_cost([cost(1), cost(3)]) == cost(2)
    assert mean_cost([cost(1, 4.0), cost(1, 6.0)]) == cost(1, 5.0)


def test_time_that_was_not_recorded_for_a_part_is_unknown_for_the_whole() -> None:
    parts = {"locate": PartCost(1, 1, None), "organs": PartCost(1, 1, 2.0)}
    assert mean_cost([VariantCost(2, 2, None, None, parts)]).seconds_per_held_out_case is None


def test_parts_stand_below_their_variant() -> None:
    alone = VariantCost(2e6, 90, 1.0, None, {"3d_fullres": PartCost(2e6, 90, 1.0)})
    lines = format_costs("configuration", {"3d_fullres": alone, "3d_two_stage": cost(1, 7.0)}).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["3d_fullres", "2.00", "M", "1m30s", "1.0", "s", "-"],
        ["3d_two_stage", "4.00", "M", "11m00s", "3.0", "s", "7.0", "s"],
        ["locate", "1.00", "M", "1m00s", "1.0", "s"],
        ["organs", "3.00", "M", "10m00s", "2.0", "s"],
    ]
    assert [line.startswith("  ") for line in lines[2:]] == [False, False, True, True]


@pytest.mark.parametrize("lines", [1, 2])
def test_no_line_is_set_apart_as_if_it_were_a_sum(lines: int) -> None:
    alone = VariantCost(2e6, 90, None, None, {"3d_fullres": PartCost(2e6, 90, None)})
    text = format_costs("loss", {f"loss{number}": alone for number in range(lines)})
    assert [line.startswith("---") for line in text.splitlines()] == [False, True] + [False] * lines
