"""The page of the recipes against the data: what it says of each is exactly what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from planners.recipes import RECIPES, Recipe

PAGE = Path(__file__).parents[2] / "documentation" / "reference" / "recipes.md"


def section(recipe: Recipe) -> str:
    """What the page says of a recipe."""
    options = [f"| `--{name}` | {'' if value is None else f'`{value}` '}|" for name, value in recipe.options.items()]
    return "\n".join(
        [
            f"## {recipe.name}",
            "",
            recipe.source,
            "",
            f"    {recipe.conversion}",
            f"    autoseg_plan_and_preprocess -d ID --recipe {recipe.name}",
            f"    autoseg_train ID {recipe.configuration}",
            "",
            "| option | value |",
            "|---|---|",
            *options,
            "",
            "What the engine does otherwise:",
            "",
            *(f"- {difference}" for difference in recipe.differences),
            "",
        ]
    )


@pytest.mark.parametrize("name", RECIPES)
def test_the_section_of_a_recipe(name: str) -> None:
    assert section(RECIPES[name]) in PAGE.read_text()


def test_there_is_a_section_for_every_recipe() -> None:
    assert re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE) == list(RECIPES)


def test_the_command_names_every_recipe() -> None:
    from autoseg.cli.plan_and_preprocess import make_parser

    assert all(name in make_parser().format_help() for name in RECIPES)
