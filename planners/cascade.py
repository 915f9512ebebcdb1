"""Whether a low resolution comes first, and which."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from autoseg.errors import PlanningError
from autoseg.plans import Ints
from planners.rules.spacing import coarser_grids, grid_of_shape
from planners.stages import StageDraft, StagePlanner

LEAST_COVERED = 0.25
"""A patch that holds less of the median case than this lacks context: a low resolution comes first."""
LEAST_REDUCTION = 2.0
"""A low resolution must have this many times fewer voxels to be worth a network."""
FORCED_REDUCTION = 4.0
"""The same, where the user or the CPU asks for a cascade."""
LARGE_CASE_VOXELS = 1e6
"""On a CPU, a median case larger than this has a low resolution in any case: it is found many times sooner."""
MOST_STEPS = 300

CONTEXT_RULE = "Where a patch covers less than a quarter of the median case, a grid coarse enough that it covers that."
CPU_RULE = f"On a CPU also where the median case has over {LARGE_CASE_VOXELS:.0e} voxels: a grid of a quarter of them."


SHAPE_RULE = "The grid on which the median case has at most the shape of --lowres-shape."


@dataclass(frozen=True)
class LowResolution:
    """What came of the search.

    draft: the stage, None where there is none. covered: of the median case, by a patch of the full resolution.
    reduction: voxels of the full resolution / of the low one that was found, also where it was dropped; else 1.
    """

    draft: StageDraft | None
    covered: float
    reduction: float = 1.0
    rule: str = CONTEXT_RULE


def find_low_resolution(fullres: StageDraft, planner: StagePlanner) -> LowResolution:
    """Coarsen the full resolution by 3 % steps until a patch covers a quarter of the median case.

    Each step is planned anew. What saves less than half of the voxels is dropped. Where the user asks for a cascade, or
    on a CPU for a large case, it goes on until there are four times fewer voxels, and nothing is dropped. A shape that
    the user gives takes the place of the search, unless it saves less than half of the voxels.
    """
    wish = planner.options.overrides.cascade
    if planner.lowres_shape:
        found = _shaped(fullres, planner, planner.lowres_shape)
        if found.reduction >= LEAST_REDUCTION:
            return found
        wish = "always"
    if wish == "never":
        return LowResolution(None, fullres.covered)
    if wish == "always":
        found = _coarsen(fullres, planner, FORCED_REDUCTION)
        if found.draft is None:
            raise PlanningError(
                f"No low resolution of {fullres.grid.median_shape} voxels can be found for a cascade.",
                "Leave out --cascade always: the cases are small enough for one stage.",
            )
        return found
    if planner.options.target.device == "cpu" and fullres.grid.voxels > LARGE_CASE_VOXELS:
        return _coarsen(fullres, planner, FORCED_REDUCTION, rule=f"{CONTEXT_RULE} {CPU_RULE}")
    if fullres.covered >= LEAST_COVERED:
        return LowResolution(None, fullres.covered)
    found = _coarsen(fullres, planner, 0.0)
    return found if found.reduction >= LEAST_REDUCTION else LowResolution(None, fullres.covered, found.reduction)


def _shaped(fullres: StageDraft, planner: StagePlanner, shape: Ints) -> LowResolution:
    low = grid_of_shape(fullres.grid, shape)
    draft = planner.draft(low, low.voxels * planner.cases, flexible=True)
    return LowResolution(draft, fullres.covered, fullres.grid.voxels / low.voxels, SHAPE_RULE)


def _coarsen(
    fullres: StageDraft, planner: StagePlanner, least_reduction: float, *, rule: str = CONTEXT_RULE
) -> LowResolution:
    for grid in islice(coarser_grids(fullres.grid), MOST_STEPS):
        if min(grid.median_shape) < 1:
            break
        reduction = fullres.grid.voxels / grid.voxels
        if reduction < least_reduction:
            continue
        draft = planner.draft(grid, grid.voxels * planner.cases, flexible=True)
        if draft.covered >= LEAST_COVERED:
            return LowResolution(draft, fullres.covered, reduction, rule)
    return LowResolution(None, fullres.covered, rule=rule)
