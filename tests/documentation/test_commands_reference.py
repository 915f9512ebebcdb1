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


def test_every_converter_has_its_section() -> None:
    from dataset_conversion import CONVERTERS

    assert re.findall(r"^### autoseg_convert (\w+)$", section_of("convert"), re.MULTILINE) == sorted(CONVERTERS)


def test_every_command_has_its_section_in_the_order_of_use() -> None:
    assert re.findall(r"^## autoseg_(\w+)$", REFERENCE.read_text(), re.MULTILINE) == COMMANDS
