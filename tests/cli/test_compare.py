"""What autoseg_compare tells to do next."""

from __future__ import annotations

import shlex

import pytest

from autoseg.cli import compare, predict


@pytest.mark.parametrize("options", [[], ["--root", "/my data"], ["--plans-name", "long"], ["--name", "trade-off"]])
def test_the_next_command_is_of_the_same_root_and_plans(options: list[str]) -> None:
    given = compare.make_parser().parse_args(["10", "--trade-off", *options])
    words = shlex.split(compare.choosing(given).replace(" N ", " 2 ").replace("SIZE", "1G"))
    assert words[:2] == ["next:", "autoseg_predict"]
    parsed = predict.make_parser().parse_args(words[2:])
    assert (parsed.root, parsed.plans_name) == (given.root, given.plans_name)
    assert (parsed.dataset, parsed.configuration, parsed.max_seconds) == ("10", ["best"], 2)


def test_nothing_is_chosen_by_a_trade_off_with_a_name() -> None:
    given = compare.make_parser().parse_args(["10", "--trade-off", "--name", "tests"])
    assert compare.choosing(given) == (
        "note: autoseg_predict -c best chooses by the trade-off without --name, and not by tests"
    )


def test_options_given_one_by_one_are_kept_together() -> None:
    given = compare.make_parser().parse_args(["10", "--vary", "loss=dice,ce", "--set", "a=1", "b=2", "--set", "c=3"])
    assert given.set == [("a", "1"), ("b", "2"), ("c", "3")]
    assert compare.make_parser().parse_args(["10", "--vary", "loss=dice,ce"]).set == []


def test_images_and_models_given_one_by_one_are_kept_together() -> None:
    words = ["--model", "one", "--model", "two", "-i", "a.nii.gz", "-i", "b.nii.gz", "-o", "out"]
    given = predict.make_parser().parse_args(words)
    assert [path.name for path in given.model] == ["one", "two"]
    assert [path.name for path in given.images] == ["a.nii.gz", "b.nii.gz"]
