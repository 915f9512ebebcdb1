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
