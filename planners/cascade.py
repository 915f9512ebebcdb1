"""Whether a low resolution comes first, and which."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from autoseg.errors import PlanningError
from planners.rules.spacing import coarser_grids
from planners.stages import StageDraft, StagePlanner

LEAST_COVERED = 0.25
"""A patch that holds less of the median case than this lacks context: a low resolution comes first."""
LEAST_REDUCTION = 2.0
"""A low resolution must have this many times fewer voxels to be worth a network."""
FORCED_REDUCTION = 4.0
"""The same, where the user asked for a cascade."""
MOST_STEPS = 300


@dataclass(frozen=True)
class LowResolution:
    """draft: the stage, None where there is none. reduction: voxels of the full resolution / of the low one."""

    draft: StageDraft | None
    covered: float
    reduction: float


def find_low_resolution(fullres: StageDraft, planner: StagePlanner) -> LowResolution:
    """Coarsen the full resolution by 3 % steps until a patch covers a quarter of the median case.

    Each step is planned anew. Dropped where fewer than twice as many voxels are saved, unless a cascade was asked for;
    then it goes on until there are four times fewer.
    """
    wish = planner.options.overrides.cascade
    if wish == "never" or (wish == "auto" and fullres.covered >= LEAST_COVERED):
        return LowResolution(None, fullres.covered, 1.0)
    found = _coarsen(fullres, planner, FORCED_REDUCTION if wish == "always" else 0.0)
    if wish == "always":
        if found.draft is None:
            raise PlanningError(
                f"No low resolution of {fullres.grid.median_shape} voxels can be found for a cascade.",
                "Leave out --cascade always: the cases are small enough for one stage.",
            )
        return found
    return found if found.reduction >= LEAST_REDUCTION else LowResolution(None, fullres.covered, found.reduction)


def _coarsen(fullres: StageDraft, planner: StagePlanner, least_reduction: float) -> LowResolution:
    for grid in islice(coarser_grids(fullres.grid), MOST_STEPS):
        if min(grid.median_shape) < 1:
            break
        draft = planner.draft(grid, grid.voxels * planner.cases, clip_patch=True)
        reduction = fullres.grid.voxels / grid.voxels
        if draft.covered >= LEAST_COVERED and reduction >= least_reduction:
            return LowResolution(draft, fullres.covered, reduction)
    return LowResolution(None, fullres.covered, 1.0)
