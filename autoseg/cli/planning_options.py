"""The options that decide what is planned, and what a recipe makes of them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from autoseg.cli import app
from autoseg.cli.training_changes import add_training_changes, training_changes

if TYPE_CHECKING:
    from planners.options import Overrides, RecipeUse

SAME_MATTER = ({"widths"}, {"base_filters", "pooling"})
"""Options of one set say what those of the other say: where the user gives one set, a recipe's other is dropped."""
OF_TWO_STAGES = {"locate_shape", "organ_models", "region_margin"}
"""Without two stages these of a recipe have no meaning."""


def add_planning_options(parser: argparse.ArgumentParser) -> None:
    """Add them; each is None where it is not given."""
    group = parser.add_argument_group("planning, in place of the planner's rules")
    group.add_argument("--planner", help="default, residual or package.module:Class")
    group.add_argument("--base-filters", type=int, help="channels at the finest level")
    group.add_argument("--pooling", type=int, help="how many times the resolution is halved")
    group.add_argument(
        "--widths", type=app.whole_numbers, metavar="N,N,...", help="channels per level, in place of both"
    )
    group.add_argument(
        "--encoder-depth",
        type=app.whole_numbers,
        metavar="N,...",
        help="convolutions or blocks per level, last repeated",
    )
    group.add_argument("--patch-size", type=app.whole_numbers, help="edges in voxels: 40,56,40 (two for 2D)")
    group.add_argument("--batch-size", type=int, help="patches per batch, in every stage")
    group.add_argument("--spacing", dest="spacing_mm", type=app.numbers, metavar="Z,Y,X", help="of the full resolution")
    group.add_argument("--clip", type=app.numbers, metavar="LOW,HIGH", help="range of CT in HU: --clip=-300,300")
    group.add_argument("--cascade", choices=("auto", "always", "never"), help="plan a low resolution first")
    group.add_argument(
        "--lowres-shape", type=app.whole_numbers, metavar="Z,Y,X", help="voxels of a median case at the low resolution"
    )
    group.add_argument("--two-stage", choices=("auto", "always", "never"), help="plan to locate, then segment organs")
    group.add_argument(
        "--locate-shape",
        type=app.whole_numbers,
        metavar="Z,Y,X",
        help="voxels of a median case where organs are located",
    )
    group.add_argument("--organ-models", choices=("one-each", "shared"), help="a network per organ, or one for all")
    group.add_argument(
        "--region-margin", type=int, metavar="VOXELS", help="around a located organ (default: measured in training)"
    )
    group.add_argument("--mirror", choices=("auto", "all", "none"), help="flip patches (auto: on a GPU only)")
    add_training_changes(parser.add_argument_group("training, written into the plans"))


@dataclass(frozen=True)
class PlanningDecisions:
    """What the user and the recipe decide together. recipe: None without one."""

    planner: str
    overrides: Overrides
    recipe: RecipeUse | None


def planning_decisions(arguments: argparse.Namespace) -> PlanningDecisions:
    """The options that were given, and for the others those of the recipe.

    arguments: parsed with add_planning_options, and recipe (a name or None). OptionError for what cannot be.
    """
    from planners.options import Overrides

    values, recipe = dict(vars(arguments)), None
    if arguments.recipe is not None:
        decided, recipe = _of_recipe(arguments)
        values |= decided
    names = {field.name for field in fields(Overrides)} - {"training"}
    given = {name: values[name] for name in names if values[name] is not None}
    overrides = Overrides(**given, training=training_changes(argparse.Namespace(**values)))
    return PlanningDecisions(values["planner"] or "default", overrides, recipe)


def _of_recipe(arguments: argparse.Namespace) -> tuple[dict[str, Any], RecipeUse]:
    """What the recipe decides because the user does not."""
    from planners.options import RecipeUse
    from planners.recipes import find_recipe

    recipe, parser = find_recipe(arguments.recipe), argparse.ArgumentParser()
    add_planning_options(parser)
    named = {name: value for name, value in vars(parser.parse_args(recipe.arguments)).items() if value is not None}
    given = {name for name, value in vars(arguments).items() if value is not None}
    for one, other in (SAME_MATTER, SAME_MATTER[::-1]):
        given |= other if given & one else set()
    given |= OF_TWO_STAGES if arguments.two_stage == "never" else set()
    decided = {name: value for name, value in named.items() if name not in given}
    return decided, RecipeUse(recipe.name, recipe.source, frozenset(decided))
