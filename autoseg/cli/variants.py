"""What autoseg_compare varies: an option, its values, and the command lines that come of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.cli import plan_and_preprocess, train
from autoseg.cli.planning_options import add_planning_options, planning_decisions
from autoseg.errors import OptionError, unknown_name
from autoseg.plans import TWO_STAGE

CONFIGURATION = "configuration"
USUAL = "default"
"""A value that stands for an option that is not given."""
OF_TWO_STAGES = ("locate-shape", "organ-models", "region-margin")
"""Options that matter to the configuration 3d_two_stage alone."""
FORCED_BY = {"3d_cascade": ("cascade", "always"), TWO_STAGE: ("two-stage", "always")}
"""By configuration the option that makes the planner plan it, whatever it thinks of it."""
CHOOSING = ("recipe", "planner", "cascade", "two-stage")
"""Options that decide which configurations there are, so that each value may have another one."""
TRAINING_OPTIONS = (
    "epochs",
    "iterations-per-epoch",
    "patience",
    "pretrained",
    "trainer",
    "precision",
    "threads",
    "workers",
)
"""Of autoseg_train, beyond what the plans hold."""


@dataclass(frozen=True)
class Variant:
    """One of the systems that are compared.

    value: of the option that is varied, as it was given. options: name without dashes to value, the varied one among
    them.
    """

    value: str
    options: dict[str, str]

    def planning(self) -> list[str]:
        """The options of autoseg_plan_and_preprocess."""
        return self._arguments(planning_options())

    def training(self) -> list[str]:
        """The options of autoseg_train that are not in the plans."""
        return self._arguments(TRAINING_OPTIONS)

    def _arguments(self, names: Sequence[str]) -> list[str]:
        return [f"--{name}={value}" for name, value in self.options.items() if name in names]


def planning_options() -> list[str]:
    """The names, without dashes, of the options that take a value and decide what is planned."""
    parser = argparse.ArgumentParser(add_help=False)
    add_planning_options(parser)
    return ["recipe", *(a.option_strings[0][2:] for a in parser._actions if a.nargs is None)]


def option_and_text(text: str) -> tuple[str, str]:
    """Parse NAME=TEXT; the name is an option of planning or training, or configuration."""
    name, separator, value = text.partition("=")
    name = name.strip().removeprefix("--").replace("_", "-")
    if not separator or not value.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not like pooling=2,3,4")
    return name, value.strip()


def split_values(text: str) -> list[str]:
    """The values of a list: separated by commas, or by slashes where there is one, for values that hold commas."""
    return [value.strip() for value in text.split("/" if "/" in text else ",")]


def make_variants(name: str, values: Sequence[str], fixed: dict[str, str]) -> tuple[Variant, ...]:
    """A variant per value. fixed: options that all share. OptionError for what the commands would not understand."""
    known = (CONFIGURATION, *planning_options(), *TRAINING_OPTIONS)
    for option in (name, *fixed):
        if option not in known:
            raise unknown_name("option to compare", option, known)
    if name in fixed:
        raise OptionError(f"--set {name} fixes what --vary {name} varies.", "Leave one of them out.")
    if len(values) < 2 or len(set(values)) < len(values) or not all(values):
        raise OptionError(f"--vary {name} needs at least two different values, not {', '.join(values)}.")
    return tuple(Variant(value, fixed if value == USUAL else _options(name, value, fixed)) for value in values)


def _options(name: str, value: str, fixed: dict[str, str]) -> dict[str, str]:
    """Of a variant; a configuration that is asked for is planned, unless the user decides that himself."""
    forced = dict([FORCED_BY[value]]) if name == CONFIGURATION and value in FORCED_BY else {}
    return forced | fixed | {name: value}


def folder_names(values: Sequence[str]) -> list[str]:
    """The values as parts of folder names, all different."""
    names: list[str] = []
    for value in values:
        name = re.sub(r"[^\w.+-]+|_{2,}", "_", value).strip("_") or "value"
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names


def check_command_lines(variants: Sequence[Variant]) -> None:
    """Parse what each variant would be told; OptionError for a value or a name that an option does not take."""
    for variant in variants:
        planning_decisions(_parse(plan_and_preprocess.make_parser(), ["-d", "0", *variant.planning()]))
        _parse(train.make_parser(), ["0", "0", *variant.training()])


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    def refuse(message: str) -> None:
        raise OptionError(
            f"{message[:1].upper()}{message[1:]}.", "See --help of autoseg_plan_and_preprocess and autoseg_train."
        )

    parser.error = refuse  # type: ignore[method-assign, assignment]
    return parser.parse_args(arguments)
