"""Why each thing was decided: rule, numbers, and the alternative that was rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoseg.fingerprint import Fingerprint
from autoseg.plans import Decision
from planners.options import PlanningOptions
from planners.recipe import Recipe

if TYPE_CHECKING:
    from planners.planning import Drafts


def decisions(
    drafts: Drafts, fingerprint: Fingerprint, options: PlanningOptions, recipe: Recipe
) -> tuple[Decision, ...]:
    """All decisions, in the order in which a reader asks."""
    return ()
