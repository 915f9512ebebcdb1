"""Whether organs are located and then segmented one by one, and with which stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import chain, islice

from autoseg.errors import PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import Ints, StagePlan, TrainingPlan
from planners.cascade import MOST_STEPS
from planners.options import PlanningOptions
from planners.organ_networks import OrganDraft, Trunk, one_each, shared_by_all
from planners.rules.flips import Flips, choose_flips, windows_along
from planners.rules.mirroring import Mirroring
from planners.rules.organs import LARGEST_SHARE, OrganGroup, group_organs, share_of_case, why_no_regions
from planners.rules.spacing import Grid, coarser_grids, grid_of_shape
from planners.stages import StageDraft, StagePlanner
from planners.training import training_plan

LOCATE = "locate"
MOST_WINDOWS = 8
"""Of the locator, over a median case: two along each axis."""
LOCATE_SHARE = 0.15
"""Of the budget per fold and stage, for each training of the locator: there are usually three of them for a fold, and
finding organs takes less than contouring them."""


@dataclass(frozen=True)
class TwoStage:
    """What came of it.

    locate: None where there is no such configuration. share: of the case that all regions fill. windows: of the
    locator. trunk: of the network that all organs share, None where each has its own.
    """

    why: str
    share: float
    locate: StageDraft | None = None
    windows: int = 0
    organs: tuple[OrganDraft, ...] = ()
    trunk: Trunk | None = None

    def organs_of_network(self, organ: OrganDraft) -> set[str]:
        """The classes that the network of an organ is for."""
        drafts = (organ,) if self.trunk is None else self.organs
        return {name for draft in drafts for name in draft.group.region.organs}


def plan_two_stage(
    full: StageDraft, planner: StagePlanner, fingerprint: Fingerprint, labels: Labels, transpose: Ints
) -> TwoStage:
    """Draft the locator and the organs' stages, or say why not.

    By itself the planner takes two stages where all regions together fill less than LARGEST_SHARE of the median case.
    PlanningError where they are forced and impossible.
    """
    wish, why = planner.options.overrides.two_stage, why_no_regions(fingerprint, labels)
    if why and wish == "always":
        raise PlanningError(f"There can be no two stages: {why[0].lower()}{why[1:]}.", "Leave out --two-stage always.")
    if why or wish == "never":
        return TwoStage(why or "--two-stage never, given by the user", 1.0)
    locate, windows = _locator(full, planner.for_part(LOCATE_SHARE))
    groups = group_organs(fingerprint, labels, transpose, locate.grid.spacing_mm)
    groups = _with_margins(groups, full.grid, planner)
    share = share_of_case(groups, full.grid)
    if share > LARGEST_SHARE and wish == "auto":
        return TwoStage("The regions of all organs together are too large a part of the case", share)
    organs, trunk = one_each(groups, full.grid, planner), None
    if planner.options.overrides.organ_models == "shared":
        organs, trunk = shared_by_all(groups, full.grid, planner, organs)
    return TwoStage("", share, locate, windows, organs, trunk)


def _with_margins(groups: list[OrganGroup], fullres: Grid, planner: StagePlanner) -> list[OrganGroup]:
    voxels = planner.options.overrides.region_margin
    if voxels is None:
        return groups
    return [group.with_margin(tuple(voxels * step for step in fullres.spacing_mm)) for group in groups]


def two_stage_plans(found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> dict[str, StagePlan]:
    """The stages in order, the locator first; empty where there are none."""
    if found.locate is None:
        return {}
    flips, training = locator_flips(found, mirroring, options).chosen, locator_training(found.locate, options)
    stages = [_stage(LOCATE, found.locate, training, batch_dice=True, flips=flips)]
    for organ in found.organs:
        name, flips = organ.group.stage_name, organ_flips(organ, found, mirroring, options).chosen
        trained = (organ,) if found.trunk is None else found.organs
        batch_dice = not all(one.holds_region for one in trained)
        training = training_plan(organ.draft, options, share=organ.share)
        stage = _stage(name, organ.draft, training, batch_dice=batch_dice, flips=flips)
        trunk = None if found.trunk is None else found.trunk.name
        stages.append(replace(stage, region=replace(organ.group.region, trunk=trunk)))
    return {stage.name: stage for stage in stages}


def locator_training(locate: StageDraft, options: PlanningOptions) -> TrainingPlan:
    """How the locator is trained: where its patch sees whole cases, several crops would be copies of one case."""
    plan = training_plan(locate, options, share=LOCATE_SHARE)
    return replace(plan, crops_per_case=1) if locate.sees_all else plan


def locator_flips(found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> Flips:
    """Whether locating averages over flips."""
    assert found.locate is not None
    return choose_flips(found.locate, mirroring.axes, slices=1, device=options.target.device)


def organ_flips(organ: OrganDraft, found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> Flips:
    """Whether an organ's network averages over flips; one that has a side is not flipped from left to right."""
    sided = {name for pair in mirroring.pairs for name in pair} & found.organs_of_network(organ)
    axes = tuple(axis for axis in mirroring.axes if not (sided and axis == mirroring.left_right_axis))
    return choose_flips(organ.draft, axes, slices=1, device=options.target.device)


def _stage(name: str, draft: StageDraft, training: TrainingPlan, *, batch_dice: bool, flips: str) -> StagePlan:
    return StagePlan(
        name=name,
        spacing_mm=draft.grid.spacing_mm,
        median_shape=draft.grid.median_shape,
        patch_size=draft.patch_size,
        batch_size=draft.batch_size,
        network=draft.spec,
        batch_dice=batch_dice,
        training=training,
        flips=flips,
    )


def _locator(full: StageDraft, planner: StagePlanner) -> tuple[StageDraft, int]:
    """The finest grid on which a median case takes few windows, or the coarsest that there is; or the given shape."""
    if planner.locate_shape:
        return _located_on(grid_of_shape(full.grid, planner.locate_shape), planner)
    best: tuple[StageDraft, int] | None = None
    for grid in islice(chain([full.grid], coarser_grids(full.grid)), MOST_STEPS):
        if best is not None and min(grid.median_shape) < 1:
            break
        best = _located_on(grid, planner)
        if best[1] <= MOST_WINDOWS:
            break
    assert best is not None
    return best


def _located_on(grid: Grid, planner: StagePlanner) -> tuple[StageDraft, int]:
    draft = planner.draft(grid, grid.voxels * planner.cases, flexible=True)
    return draft, math.prod(map(windows_along, grid.median_shape, draft.patch_size))
