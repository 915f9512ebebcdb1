"""The reference of the commands against the parsers: every option is there, and none that does not exist."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "documentation" / "reference" / "commands.md"
COMMANDS = re.findall(
    r'"(\w+)"', re.findall(r"^COMMANDS = \[(.*)\]$", (ROOT / "setup.py").read_text(), re.MULTILINE)[0]
)
IN_EVERY_COMMAND = {"-h", "--help", "--root", "--debug"}
IN_PLANS = {
    "--first-cycle": "first_cycle_epochs",
    "--cycle-growth": "cycle_growth",
    "--shift": "shift_voxels",
    "--foreground-fraction": "foreground_fraction",
    "--crops-per-case": "crops_per_case",
    "--validate-whole": "whole_validation_epochs",
}
"""Options of which the parser's default is None, and the field of a plan that has it."""


def parser_of(command: str) -> argparse.ArgumentParser:
    module = importlib.import_module(f"autoseg.cli.{command}")
    make = module.make_parser if hasattr(module, "make_parser") else module.build_parser
    return make()


def options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """All option strings, those of subcommands too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from options_of(subparser)
        elif action.help != argparse.SUPPRESS:
            yield from action.option_strings


def section_of(command: str) -> str:
    """The part of the page below the command's heading, with its subsections."""
    parts = re.split(r"^## (?=autoseg_)", REFERENCE.read_text(), flags=re.MULTILINE)
    return next(part for part in parts if part.startswith(f"autoseg_{command}\n"))


def documented_options(command: str) -> set[str]:
    """What the first cells of the section's tables name."""
    cells = re.findall(r"^\| (`.*?`) \| ", section_of(command), re.MULTILINE)
    return {option for cell in cells for option in re.findall(r"`(--?[a-z][a-z0-9-]*)", cell)}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_has_exactly_the_options_of_the_command(command: str) -> None:
    assert documented_options(command) == set(options_of(parser_of(command))) - IN_EVERY_COMMAND


def defaults_of(parser: argparse.ArgumentParser) -> dict[str, set[object]]:
    """The defaults of each option string, of all subcommands, where they are plain values."""
    found: dict[str, set[object]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                for option, defaults in defaults_of(subparser).items():
                    found.setdefault(option, set()).update(defaults)
        else:
            for option in action.option_strings or ([action.metavar] if isinstance(action.metavar, str) else []):
                if isinstance(action.default, str | int | float) and not isinstance(action.default, bool):
                    found.setdefault(option, set()).add(action.default)
    return found


def named_defaults(command: str) -> Iterator[tuple[str, str]]:
    """Option and value of each "(default: VALUE)" in the section's tables that gives a value and not a rule."""
    for cell, text in re.findall(r"^\| (`.*?`) \| (.*) \|$", section_of(command), re.MULTILINE):
        option = re.findall(r"`(--?[a-z][a-z-]*)", cell)
        for default in re.findall(r"\(default: (.+?)[,;)]", text):
            value = default.strip("`")
            if option and (default != value or re.fullmatch(r"-?[\d.]+", value)):
                yield option[-1], value


def is_number(text: object) -> bool:
    return re.fullmatch(r"-?\d+(\.\d*)?", str(text)) is not None


def same(named: str, default: object) -> bool:
    return float(named) == float(str(default)) if is_number(named) and is_number(default) else named == str(default)


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_are_those_of_the_command(command: str) -> None:
    """A default that only the plan or a rule knows is None to the parser: such a value is not compared."""
    known = defaults_of(parser_of(command))
    wrong = [
        f"{option}: the page says {named}, the command {sorted(map(str, known[option]))}"
        for option, named in named_defaults(command)
        if option in known and not any(same(named, default) for default in known[option])
    ]
    assert wrong == []


@pytest.mark.parametrize("command", ["convert", "train", "predict", "demo"])
def test_the_defaults_of_some_commands_are_named(command: str) -> None:
    """So that the test above compares something."""
    known = defaults_of(parser_of(command))
    assert len([option for option, _ in named_defaults(command) if option in known]) >= 3


@pytest.mark.parametrize("command", ["plan_and_preprocess", "train"])
def test_defaults_of_training_are_those_of_a_plan(command: str) -> None:
    from autoseg.plans import TrainingPlan

    named, plan = dict(named_defaults(command)), TrainingPlan()
    assert {name: float(named[name]) for name in IN_PLANS} == {
        name: float(getattr(plan, field)) for name, field in IN_PLANS.items()
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_plain_defaults_in_the_help_are_those_of_the_command(command: str) -> None:
    """The help texts are written by hand too."""
    pattern = re.compile(r"\(default: ([\w.-]+)\)")
    for action in parser_of(command)._actions:
        found = pattern.search(action.help or "")
        if found and isinstance(action.default, str | int | float) and not isinstance(action.default, bool):
            assert same(found[1], action.default), action.option_strings


def test_every_converter_has_its_section() -> None:
    from dataset_conversion import CONVERTERS

    assert re.findall(r"^### autoseg_convert (\w+)$", section_of("convert"), re.MULTILINE) == sorted(CONVERTERS)


def test_every_command_has_its_section_in_the_order_of_use() -> None:
    assert re.findall(r"^## autoseg_(\w+)$", REFERENCE.read_text(), re.MULTILINE) == COMMANDS
