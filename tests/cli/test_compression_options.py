"""Options of compression: each is refused where nothing that is made uses it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from autoseg.cli.compression_options import USED_BY, checked_for, compression_options
from autoseg.cli.train import make_parser
from autoseg.compression.options import CompressionOptions
from autoseg.errors import OptionError

USED_BY_ALL = {"source", "stages", "max_dice_drop"}


def checked(*words: str) -> CompressionOptions | None:
    arguments = make_parser().parse_args(["4", "3d_fullres", "--trainer", *words])
    return checked_for(arguments.trainer, compression_options(arguments))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("quantization --target-size 200K", "--target-size is of channel_pruning or compress, which is not made"),
        ("threshold_pruning --target-latency 0.5x", "--target-latency is of channel_pruning, which is not made"),
        ("compress --methods quantization --target-latency 0.5x", "--target-latency is of channel_pruning"),
        ("channel_pruning --levels 7", "--levels is of quantization, which is not made"),
        ("compress --methods channel_pruning --threshold 0.5,1,0.5", "--threshold is of threshold_pruning"),
        ("compress --int8-tolerance 1", "--int8-tolerance is of int8"),
        ("quantization --methods int8", "--methods is of compress"),
        ("int8 --unlabelled images", "--unlabelled is of .* or int8 --quantization-aware, which is not made"),
        ("compress --methods int8 --distil 1", "--distil is of .* or int8 --quantization-aware, which is not made"),
    ],
)
def test_what_nothing_would_use_is_refused(words: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        checked(*words.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("channel_pruning --target-latency 0.5x --granularity 1 --distil 0", {"granularity": 1, "distil": 0.0}),
        ("compress --methods quantization --target-size 200K --levels 7", {"levels": 7}),
        ("compress --methods int8 quantization --distil 1 --int8-tolerance 1", {"distil": 1.0, "int8_tolerance": 1.0}),
        ("int8 --quantization-aware --distil 1", {"quantization_aware": True, "distil": 1.0}),
        ("int8 --max-dice-drop 0.1 --compress-stages locate", {"max_dice_drop": 0.1, "stages": ("locate",)}),
        ("package.module:Trainer --levels 7", {"levels": 7}),
    ],
)
def test_what_is_used_is_handed_on(words: str, expected: dict[str, Any]) -> None:
    options = checked(*words.split())
    assert {name: getattr(options, name) for name in expected} == expected


def test_of_every_option_it_is_known_who_uses_it() -> None:
    assert {*USED_BY, *USED_BY_ALL} == {field.name for field in fields(CompressionOptions)}


def test_options_are_called_as_the_parser_calls_them() -> None:
    known = {action.dest: action.option_strings for action in make_parser()._actions}
    assert all(known[field] == [option] for field, (option, _) in USED_BY.items())
