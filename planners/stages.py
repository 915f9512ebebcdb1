"""One stage: patch, batch and network for a grid, by the peer's rules or by the time at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from autoseg.errors import PlanningError
from autoseg.plans import Ints, NetworkSpec
from planners.family import BASE_FILTERS, REFERENCE_BATCH, Family
from planners.options import GIBIBYTE, PlanningOptions
from planners.rules import budget
from planners.rules.memory import feature_map_values
from planners.rules.network import network_spec
from planners.rules.patch import SMALLEST_PATCH_EDGE, initial_patch, shrink, widen_thin_edges
from planners.rules.spacing import Grid
from planners.rules.topology import Topology, find_topology

REFERENCE_BYTES = 8 * GIBIBYTE
SMALLEST_BATCH = 2


@dataclass(frozen=True)
class StageDraft:
    """A stage and the numbers that led to it.

    first_patch: before anything was shrunk. values: of the feature maps of one sample; allowed_values: the reference
    for the target's memory. data_batch, memory_batch: what the dataset and the memory would allow. choice: where a
    budget decided.
    """

    grid: Grid
    topology: Topology
    batch_size: int
    base_filters: int
    spec: NetworkSpec
    first_patch: Ints
    values: int
    allowed_values: float
    data_batch: int
    memory_batch: int
    choice: budget.Choice | None = None

    @property
    def patch_size(self) -> Ints:
        """Voxels per axis in plan order."""
        return self.topology.patch_size

    @property
    def covered(self) -> float:
        """Voxels of the patch / voxels of a median case."""
        return math.prod(self.patch_size) / self.grid.voxels

    @property
    def sees_all(self) -> bool:
        """Whether one patch sees the median case, less than an edge of the coarsest feature map short of the whole."""
        edges = zip(self.patch_size, self.grid.median_shape, self.topology.divisor, strict=True)
        return all(edge + step > size for edge, size, step in edges)


@dataclass(frozen=True)
class StagePlanner:
    """Drafts stages of one dataset.

    label_count: entries of dataset.json's labels. cases: how many. patch_size, lowres_shape, locate_shape: the user's,
    in plan order, or None.
    """

    family: Family
    options: PlanningOptions
    in_channels: int
    out_channels: int
    label_count: int
    cases: int
    patch_size: Ints | None = None
    lowres_shape: Ints | None = None
    locate_shape: Ints | None = None

    def draft(
        self, grid: Grid, dataset_voxels: float, *, flexible: bool = False, wanted: int | None = None
    ) -> StageDraft:
        """The stage for a grid of two or three axes.

        dataset_voxels: of all cases on this grid. flexible: what the user gives is for larger stages: a patch is cut to
        the median shape, and a short budget may halve less often than asked for. wanted: iterations, see budget.choose.
        """
        poolings = self.options.overrides.poolings
        given = self.patch_size if self.patch_size and len(self.patch_size) == len(grid.spacing_mm) else None
        if given and flexible:
            given = tuple(min(edge, math.ceil(size)) for edge, size in zip(given, grid.median_shape, strict=True))
        first = find_topology(grid.spacing_mm, given or initial_patch(grid.spacing_mm, grid.median_shape), poolings)
        topology = widen_thin_edges(first)
        topology = topology if given else self._fit_to_memory(topology, grid)
        draft = self._with_batch(topology, grid, dataset_voxels, first.patch_size)
        if self.options.target.device == "cuda":
            return draft
        return self._fit_to_budget(draft, given is not None, flexible, wanted)

    def for_part(self, share: float) -> StagePlanner:
        """The planner of stages that get a part of the budget per fold and stage."""
        seconds = self.options.budget_seconds
        target = replace(self.options.target, budget_seconds=None if seconds is None else seconds * share)
        return replace(self, options=replace(self.options, target=target))

    def values(self, topology: Topology) -> int:
        """Feature map values of one sample, for the width that memory is planned with."""
        return feature_map_values(self._spec(topology, self._base_filters), topology.patch_size, self.label_count)

    @property
    def _base_filters(self) -> int:
        """Of the user, else those that memory is planned with."""
        return self.given_filters or BASE_FILTERS

    @property
    def given_filters(self) -> int | None:
        """Channels of the finest level that the user or a recipe gives; None leaves them to the planner."""
        overrides = self.options.overrides
        return overrides.widths[0] if overrides.widths else overrides.base_filters

    def _allowed_values(self, dimensions: int) -> float:
        """The reference, scaled to the target's memory; on a CPU the patch never starts larger than on an 8 GB GPU."""
        share = self.options.target.memory_bytes / REFERENCE_BYTES
        share = share if self.options.target.device == "cuda" else min(1.0, share)
        return self.family.reference_values[dimensions] * share

    def _spec(self, topology: Topology, base_filters: int, *, light_finest: bool = False) -> NetworkSpec:
        return network_spec(
            topology,
            self.family,
            base_filters=base_filters,
            widths=self.options.overrides.widths,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            light_finest=light_finest,
        )

    def _candidate(self, topology: Topology, base_filters: int, batch_size: int) -> budget.Candidate:
        light = self.options.overrides.encoder_depth is None
        spec = self._spec(topology, base_filters, light_finest=light)
        return budget.Candidate(base_filters, topology, spec, batch_size)

    def _fit_to_memory(self, topology: Topology, grid: Grid) -> Topology:
        dimensions = len(grid.spacing_mm)
        fitted = self.options.overrides.batch_size or self.family.fitted_batch[dimensions]
        limit = self._allowed_values(dimensions) * REFERENCE_BATCH[dimensions]
        while self.values(topology) * fitted > limit:
            topology = shrink(topology, grid.spacing_mm, grid.median_shape, self.options.overrides.poolings)
        return topology

    def _with_batch(self, topology: Topology, grid: Grid, dataset_voxels: float, first_patch: Ints) -> StageDraft:
        dimensions, values = len(grid.spacing_mm), self.values(topology)
        allowed = self._allowed_values(dimensions)
        by_memory = round(allowed / values * REFERENCE_BATCH[dimensions])
        by_data = round(dataset_voxels * self.family.covered_share / math.prod(topology.patch_size))
        return StageDraft(
            grid=grid,
            topology=topology,
            batch_size=self.options.overrides.batch_size or max(min(by_memory, by_data), SMALLEST_BATCH),
            base_filters=self._base_filters,
            spec=self._spec(topology, self._base_filters),
            first_patch=first_patch,
            values=values,
            allowed_values=allowed,
            data_batch=by_data,
            memory_batch=by_memory,
        )

    def _fit_to_budget(self, draft: StageDraft, patch_is_given: bool, flexible: bool, wanted: int | None) -> StageDraft:
        target, seconds = self.options.target, self.options.budget_seconds
        assert seconds is not None
        choice = budget.choose(
            self._candidates(draft, patch_is_given, flexible),
            budget_seconds=seconds,
            seconds_per_multiply_add=budget.plausible_speed(self.options.seconds_per_multiply_add),
            memory_bytes=target.memory_bytes,
            wanted=wanted,
        )
        chosen = choice.candidate
        return StageDraft(
            grid=draft.grid,
            topology=chosen.topology,
            batch_size=chosen.batch_size,
            base_filters=chosen.base_filters,
            spec=chosen.spec,
            first_patch=draft.first_patch,
            values=feature_map_values(chosen.spec, chosen.topology.patch_size, self.label_count),
            allowed_values=draft.allowed_values,
            data_batch=draft.data_batch,
            memory_batch=draft.memory_batch,
            choice=choice,
        )

    def _candidates(self, draft: StageDraft, patch_is_given: bool, flexible: bool) -> Iterator[budget.Candidate]:
        """Patches from large to small, for each the widths from wide to narrow; the narrowest only for the smallest."""
        overrides, given = self.options.overrides, self.given_filters
        widths = (given,) if given else budget.WIDTHS
        batch = overrides.batch_size or min(draft.batch_size, budget.BATCH_SIZES[len(draft.patch_size)])
        for topology in [draft.topology] if patch_is_given else self._smaller_patches(draft, flexible):
            for width in widths:
                yield self._candidate(topology, width, batch)
        if not given:
            yield self._candidate(topology, budget.LAST_WIDTH, batch)

    def _smaller_patches(self, draft: StageDraft, flexible: bool) -> Iterator[Topology]:
        """The patches that lie within the median case, large to small; where there is none, the first one."""
        within = False
        sizes = [max(size, SMALLEST_PATCH_EDGE) for size in draft.grid.median_shape]
        for topology in self._shrinking(draft, flexible):
            if all(edge <= size for edge, size in zip(topology.patch_size, sizes, strict=True)):
                within = True
                yield topology
        if not within:
            yield draft.topology

    def _shrinking(self, draft: StageDraft, flexible: bool) -> Iterator[Topology]:
        """The first patch, and ever smaller ones; where the poolings are given, and not flexible, with all of those."""
        topology, grid = draft.topology, draft.grid
        least = budget.SMALLEST_PATCH_VOXELS[len(draft.patch_size)]
        levels = 0 if flexible or self.options.overrides.poolings is None else len(topology.strides)
        yield topology
        while True:
            try:
                topology = shrink(topology, grid.spacing_mm, grid.median_shape, self.options.overrides.poolings)
            except PlanningError:
                return
            if math.prod(topology.patch_size) < least or len(topology.strides) < levels:
                return
            yield topology
