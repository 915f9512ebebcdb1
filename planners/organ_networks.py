"""The networks of organs: one for each, or one that all of them share."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from autoseg.errors import PlanningError
from autoseg.networks.closed_form import multiply_adds, parameter_count, shared_parameter_count
from autoseg.plans import Ints
from planners.rules import budget
from planners.rules.memory import training_bytes
from planners.rules.organs import SURROUNDINGS, OrganGroup, grid_factors, region_grid
from planners.rules.patch import SMALLEST_PATCH_EDGE
from planners.rules.spacing import Grid
from planners.stages import StageDraft, StagePlanner

ORGAN_OUTPUTS = 2
"""Logits of an organ's network: everything else, and the organ."""
USUAL_WIDTH = 16
"""Channels of the finest level with which iterations are compared."""
UNLIMITED_SECONDS = 1e9
"""A budget that affords any patch."""
TRUNK = "organs"
SHARED_TIME = 0.5
"""Of the organs' budget, for a network that all share: each organ learns from the regions of the others too."""
SHARED_WEIGHTS = 1 / 3
"""Of the weights that one network each would have, for three networks or more."""
LAST_EDGE = 2
"""Voxels of the coarsest level in a patch of a network that organs share."""
NARROWING = 4
"""Channels of the finest level in a step towards these."""


@dataclass(frozen=True)
class OrganDraft:
    """The stage of one network for organs. share: of the budget per fold and stage."""

    group: OrganGroup
    draft: StageDraft
    share: float

    @property
    def holds_region(self) -> bool:
        """Whether one patch sees the region, see StageDraft.sees_all."""
        return self.draft.sees_all

    @property
    def work(self) -> int:
        """Multiply-adds of one training iteration."""
        draft = self.draft
        return budget.PASSES * draft.batch_size * multiply_adds(draft.spec, draft.patch_size)

    @property
    def has_its_iterations(self) -> bool:
        """Whether the time buys the wanted number of iterations."""
        choice = self.draft.choice
        return choice is None or choice.iterations >= choice.wanted

    def is_at_its_widest(self, planner: StagePlanner) -> bool:
        """Whether time and memory allow the widest network that the rules know, or the user's."""
        widest = planner.given_filters or max(budget.WIDTHS)
        return self.draft.choice is None or (self.draft.base_filters == widest and self.has_its_iterations)


@dataclass(frozen=True)
class Trunk:
    """The network that all organs share. weights: of all; separate_weights: of one network each, in sum."""

    name: str
    weights: int
    separate_weights: int


def one_each(groups: Sequence[OrganGroup], fullres: Grid, planner: StagePlanner) -> tuple[OrganDraft, ...]:
    """A network for each, as its part of the time affords.

    The budget is divided by the root of what an iteration over the region costs, one width for all: midway between
    equal parts, which starve large organs, and parts by cost, which starve all but the largest.
    """
    shares = budget.parts_by_cost([math.sqrt(_usual_work(group, fullres, planner)) for group in groups])
    return tuple(_own(group, fullres, planner, share) for group, share in zip(groups, shares, strict=True))


def _usual_work(group: OrganGroup, fullres: Grid, planner: StagePlanner) -> int:
    """Multiply-adds of an iteration, were there time enough for the whole region on its finest grid."""
    options = planner.options
    filters = planner.given_filters or USUAL_WIDTH
    timeless = replace(options.target, budget_seconds=UNLIMITED_SECONDS)
    overrides = options.overrides if options.overrides.widths else replace(options.overrides, base_filters=filters)
    unhurried = replace(planner, options=replace(options, target=timeless, overrides=overrides))
    own = _for_organs(unhurried, 1, group.cases)
    finer, coarser = grid_factors(group, fullres)
    return _drafted(group, region_grid(group, fullres, (finer + coarser)[0]), own, 1).work


def shared_by_all(
    groups: Sequence[OrganGroup], fullres: Grid, planner: StagePlanner, separate: Sequence[OrganDraft]
) -> tuple[tuple[OrganDraft, ...], Trunk]:
    """One network, on the grids and about the patches that one network each would have.

    separate: these, of whose weights it has SHARED_WEIGHTS at most. Its poolings suit their usual patch, and its width
    is one with which SHARED_TIME buys that part of all iterations that they want. Raises PlanningError where it cannot
    train the largest patch in the memory.
    """
    usual = _usual_patch(separate)
    grid = Grid(fullres.spacing_mm, tuple(map(float, usual)), math.prod(usual))
    own = replace(_for_organs(planner, SHARED_TIME, sum(group.cases for group in groups)), patch_size=usual)
    separate_weights = sum(parameter_count(one.draft.spec) for one in separate)
    most_weights = math.inf if len(groups) < 1 / SHARED_WEIGHTS else SHARED_WEIGHTS * separate_weights
    wanted = sum(one.draft.choice.wanted for one in separate if one.draft.choice is not None)
    for draft in _narrower_and_narrower(grid, own, int(SHARED_TIME * wanted)):
        batch_size = min(draft.batch_size, *(one.draft.batch_size for one in separate))
        drafts = [_on_patch_of(one.draft, replace(draft, batch_size=batch_size)) for one in separate]
        weights = shared_parameter_count(draft.spec, len(groups))
        needed = max(training_bytes(one.spec, one.patch_size, one.batch_size) for one in drafts)
        fits = planner.options.target.device != "cpu" or needed <= planner.options.target.memory_bytes
        if fits and (weights <= most_weights or planner.given_filters):
            break
    if not fits:
        raise PlanningError(
            f"Training a network that all organs share takes {needed / 2**20:.0f} MiB at least, more than the "
            f"{planner.options.target.memory_bytes / 2**20:.0f} MiB of --memory.",
            "Raise --memory, lower --patch-size or --base-filters, or leave out --organ-models shared.",
        )
    organs = tuple(OrganDraft(one.group, made, SHARED_TIME) for one, made in zip(separate, drafts, strict=True))
    return organs, Trunk(TRUNK, weights, separate_weights)


def _usual_patch(separate: Sequence[OrganDraft]) -> Ints:
    """As many voxels as a mean patch, where every box comes equally often, in the proportions of the median one."""
    cases = sum(one.group.cases for one in separate)
    voxels = sum(one.group.cases * math.prod(one.draft.patch_size) for one in separate) / cases
    median = [statistics.median(edges) for edges in zip(*(one.draft.patch_size for one in separate), strict=True)]
    scale = (voxels / math.prod(median)) ** (1 / len(median))
    return tuple(max(SMALLEST_PATCH_EDGE, round(edge * scale)) for edge in median)


def _narrower_and_narrower(grid: Grid, planner: StagePlanner, wanted: int) -> Iterator[StageDraft]:
    """What time affords with the wanted iterations, then with fewer and fewer channels; the user's widths stay."""
    draft = planner.draft(grid, grid.voxels * planner.cases, wanted=wanted)
    yield draft
    for filters in () if planner.given_filters else range(draft.base_filters - NARROWING, 0, -NARROWING):
        overrides = replace(planner.options.overrides, base_filters=filters)
        narrower = replace(planner, options=replace(planner.options, overrides=overrides))
        yield narrower.draft(grid, grid.voxels * planner.cases, wanted=wanted)


def _on_patch_of(own: StageDraft, shared: StageDraft) -> StageDraft:
    """The shared network on an organ's grid and patch, which grows to what the network can halve.

    What of the patch lies beyond the region need not be held, and where a patch of its own network sees the region,
    this one does. The poolings suit larger organs too: halved edges end with LAST_EDGE voxels at least.
    """
    patch_size = []
    for edge, size, step in zip(own.patch_size, own.grid.median_shape, shared.topology.divisor, strict=True):
        least = LAST_EDGE * step
        whole = math.floor(size / step) * step if own.sees_all else 0
        patch_size.append(max(math.ceil(min(edge, size) / step) * step, least, whole))
    return replace(shared, grid=own.grid, topology=replace(shared.topology, patch_size=tuple(patch_size)))


def _own(group: OrganGroup, fullres: Grid, planner: StagePlanner, share: float) -> OrganDraft:
    """On the finest grid that time allows, with surroundings where it allows those too.

    Where no patch holds the region, on the finest of the coarser grids where one does, else the full one in windows.
    """
    own = _for_organs(planner, share, group.cases)

    def drafted(factor: float, widened: float = 1.0) -> OrganDraft:
        wide = group if widened == 1 else group.widened(widened)
        return _drafted(wide, region_grid(wide, fullres, factor), own, share)

    finer, (full, *coarser) = grid_factors(group, fullres)
    affordable = (factor for factor in finer if (found := drafted(factor)).holds_region and found.has_its_iterations)
    best = next(affordable, full)
    for widened in () if group.region.margin_given else SURROUNDINGS:
        wide = drafted(best, widened)
        if wide.holds_region and wide.is_at_its_widest(own):
            return wide
    plain = drafted(best)
    if plain.holds_region:
        return plain
    drafts = (drafted(factor) for factor in coarser)
    return next((draft for draft in drafts if draft.holds_region), plain)


def _for_organs(planner: StagePlanner, share: float, cases: int) -> StagePlanner:
    """The planner for networks of organs, with a part of the budget. cases: how many boxes there are."""
    return replace(planner.for_part(share), out_channels=ORGAN_OUTPUTS, label_count=ORGAN_OUTPUTS, cases=cases)


def _drafted(group: OrganGroup, grid: Grid, planner: StagePlanner, share: float) -> OrganDraft:
    return OrganDraft(group, planner.draft(grid, grid.voxels * planner.cases, flexible=True), share)
