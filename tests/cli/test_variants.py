"""Options and values of a comparison, and the command lines that come of them."""

from __future__ import annotations

import argparse

import pytest

from autoseg.cli.variants import (
    check_command_lines,
    folder_names,
    make_variants,
    option_and_text,
    planning_options,
    split_values,
)
from autoseg.errors import OptionError


def test_every_option_that_takes_a_value_can_be_varied() -> None:
    wanted = {"pooling", "base-filters", "loss", "lr", "recipe", "planner", "widths", "shift", "validate-whole"}
    assert wanted <= set(planning_options())
    assert not {"cache", "no-cache", "plans-name", "budget"} & set(planning_options())


@pytest.mark.parametrize("text", ["base_filters=12,24", "--base-filters=12,24", "base-filters = 12,24"])
def test_names_are_as_on_the_command_line(text: str) -> None:
    assert option_and_text(text) == ("base-filters", "12,24")


def test_what_is_no_assignment_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not like pooling=2,3,4"):
        option_and_text("pooling")


def test_values_that_hold_commas_are_separated_by_slashes() -> None:
    assert split_values("2, 3,4") == ["2", "3", "4"]
    assert split_values("32,32,32/48,48,48") == ["32,32,32", "48,48,48"]


def test_options_go_where_they_belong() -> None:
    first, second = make_variants("loss", ["dice", "ce"], {"pooling": "2", "patience": "3"})
    assert first.planning() == ["--pooling=2", "--loss=dice"]
    assert second.training() == ["--patience=3"]


def test_default_leaves_the_option_out() -> None:
    first, second = make_variants("epochs", ["default", "4"], {})
    assert (first.training(), second.training()) == ([], ["--epochs=4"])


def test_configurations_that_are_compared_are_planned() -> None:
    names = ["3d_fullres", "3d_cascade", "3d_two_stage"]
    variants = make_variants("configuration", names, {"two-stage": "auto"})
    assert [one.planning() for one in variants] == [
        ["--two-stage=auto"],
        ["--cascade=always", "--two-stage=auto"],
        ["--two-stage=auto"],
    ]
    assert make_variants("configuration", names, {})[2].planning() == ["--two-stage=always"]


@pytest.mark.parametrize(
    ("name", "values", "fixed", "message"),
    [
        ("depth", ["1", "2"], {}, "no option to compare 'depth'"),
        ("pooling", ["1", "2"], {"colour": "red"}, "no option to compare 'colour'"),
        ("pooling", ["1", "2"], {"pooling": "3"}, "--set pooling fixes what --vary pooling varies"),
        ("pooling", ["2"], {}, "at least two different values"),
        ("pooling", ["2", "2"], {}, "at least two different values"),
    ],
)
def test_what_cannot_be_compared_is_refused(name: str, values: list[str], fixed: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make_variants(name, values, fixed)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [("pooling", ["2", "deep"], "--pooling: invalid int value: 'deep'"), ("mirror", ["all", "some"], "invalid choice")],
)
def test_a_value_that_its_option_does_not_take_is_refused(name: str, values: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_command_lines(make_variants(name, values, {}))


def test_values_become_different_names_of_folders() -> None:
    assert folder_names(["dice+focal", "0.5*dice+ce", "32,32,32"]) == ["dice+focal", "0.5_dice+ce", "32_32_32"]
    assert len(set(folder_names(["a*b", "a/b", "a,b"]))) == 3
    assert "__" not in "".join(folder_names(["a__b", "-300,300"]))
