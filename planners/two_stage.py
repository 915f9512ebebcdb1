"""Whether organs are located and then segmented one by one, and with which stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import chain, islice

from autoseg.errors import PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import Ints, StagePlan
from planners.cascade import MOST_STEPS
from planners.options import PlanningOptions
from planners.rules import budget
from planners.rules.flips import Flips, choose_flips, windows_along
from planners.rules.mirroring import Mirroring
from planners.rules.organs import (
    LARGEST_SHARE,
    SURROUNDINGS,
    OrganGroup,
    group_organs,
    region_grids,
    share_of_case,
    why_no_regions,
)
from planners.rules.spacing import Grid, coarser_grids
from planners.stages import StageDraft, StagePlanner
from planners.training import training_plan

LOCATE = "locate"
MOST_WINDOWS = 8
"""Of the locator, over a median case: two along each axis."""
ORGAN_OUTPUTS = 2
"""Logits of an organ's network: everything else, and the organ."""


@dataclass(frozen=True)
class OrganDraft:
    """The stage of one network for organs."""

    group: OrganGroup
    draft: StageDraft

    @property
    def holds_region(self) -> bool:
        """Whether one patch sees the region, less than an edge of the coarsest feature map short of the whole."""
        draft = self.draft
        edges = zip(draft.patch_size, draft.grid.median_shape, draft.topology.divisor, strict=True)
        return all(edge + step > size for edge, size, step in edges)

    def is_at_its_widest(self, planner: StagePlanner) -> bool:
        """Whether time and memory allow the widest network that the rules know, or the user's."""
        choice, widest = self.draft.choice, planner.given_filters or max(budget.WIDTHS)
        return choice is None or (self.draft.base_filters == widest and choice.iterations >= choice.wanted)


@dataclass(frozen=True)
class TwoStage:
    """What came of it. locate: None where there is no such configuration; share: of the case that all regions fill."""

    why: str
    share: float
    locate: StageDraft | None = None
    windows: int = 0
    organs: tuple[OrganDraft, ...] = ()

    @property
    def budget_share(self) -> float:
        """The organs together are one stage, and each network has an equal share of its budget."""
        return 1 / max(1, len(self.organs))


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
    groups = group_organs(fingerprint, labels, transpose)
    share = share_of_case(groups, full.grid)
    if share > LARGEST_SHARE and wish == "auto":
        return TwoStage("The regions of all organs together are too large a part of the case", share)
    locate, windows = _locator(full, planner)
    organs = tuple(_organ(group, full.grid, planner, len(groups)) for group in groups)
    return TwoStage("", share, locate, windows, organs)


def two_stage_plans(found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> dict[str, StagePlan]:
    """The stages in order, the locator first; empty where there are none."""
    if found.locate is None:
        return {}
    flips = locator_flips(found, mirroring, options).chosen
    stages = [_stage(LOCATE, found.locate, options, batch_dice=True, flips=flips)]
    for organ in found.organs:
        name, flips = organ.group.stage_name, organ_flips(organ, mirroring, options).chosen
        batch_dice = not organ.holds_region
        stage = _stage(name, organ.draft, options, batch_dice=batch_dice, flips=flips, share=found.budget_share)
        stages.append(replace(stage, region=organ.group.region))
    return {stage.name: stage for stage in stages}


def locator_flips(found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> Flips:
    """Whether locating averages over flips."""
    assert found.locate is not None
    return choose_flips(found.locate, mirroring.axes, slices=1, device=options.target.device)


def organ_flips(organ: OrganDraft, mirroring: Mirroring, options: PlanningOptions) -> Flips:
    """Whether an organ's network averages over flips; one that has a side is not flipped from left to right."""
    sided = {name for pair in mirroring.pairs for name in pair} & set(organ.group.region.organs)
    axes = tuple(axis for axis in mirroring.axes if not (sided and axis == mirroring.left_right_axis))
    return choose_flips(organ.draft, axes, slices=1, device=options.target.device)


def _stage(
    name: str, draft: StageDraft, options: PlanningOptions, *, batch_dice: bool, flips: str, share: float = 1.0
) -> StagePlan:
    return StagePlan(
        name=name,
        spacing_mm=draft.grid.spacing_mm,
        median_shape=draft.grid.median_shape,
        patch_size=draft.patch_size,
        batch_size=draft.batch_size,
        network=draft.spec,
        batch_dice=batch_dice,
        training=training_plan(draft, options, share=share),
        flips=flips,
    )


def _locator(full: StageDraft, planner: StagePlanner) -> tuple[StageDraft, int]:
    """The finest grid on which a median case takes few windows, or the coarsest that there is."""
    best: tuple[StageDraft, int] | None = None
    for grid in islice(chain([full.grid], coarser_grids(full.grid)), MOST_STEPS):
        if best is not None and min(grid.median_shape) < 1:
            break
        draft = planner.draft(grid, grid.voxels * planner.cases, clip_patch=True)
        best = draft, math.prod(map(windows_along, grid.median_shape, draft.patch_size))
        if best[1] <= MOST_WINDOWS:
            break
    assert best is not None
    return best


def _organ(group: OrganGroup, fullres: Grid, planner: StagePlanner, count: int) -> OrganDraft:
    """The first that is good enough: with surroundings, then without, then on coarser grids; else the plain one."""
    target, seconds = planner.options.target, planner.options.budget_seconds
    shared = replace(target, budget_seconds=None if seconds is None else seconds / count)
    own = replace(
        planner,
        options=replace(planner.options, target=shared),
        out_channels=ORGAN_OUTPUTS,
        label_count=ORGAN_OUTPUTS,
        cases=group.cases,
    )
    for factor in SURROUNDINGS:
        wide = _draft_organ(group.widened(factor), region_grids(group.widened(factor), fullres)[0], own)
        if wide.holds_region and wide.is_at_its_widest(own):
            return wide
    first, *coarser = region_grids(group, fullres)
    plain = _draft_organ(group, first, own)
    if plain.holds_region:
        return plain
    drafts = (_draft_organ(group, grid, own) for grid in coarser)
    return next((draft for draft in drafts if draft.holds_region), plain)


def _draft_organ(group: OrganGroup, grid: Grid, planner: StagePlanner) -> OrganDraft:
    return OrganDraft(group, planner.draft(grid, grid.voxels * planner.cases, clip_patch=True))
