"""The patch: as large as memory allows, in the proportions of the median case."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.errors import PlanningError
from autoseg.plans import Ints
from planners.rules.topology import Topology, find_topology

LARGEST_VOXELS = {3: 256**3, 2: 2048**2}
SMALLEST_PATCH_EDGE = 2
"""Convolutions over a single voxel are not computed right everywhere in bf16."""


def initial_patch(spacing_mm: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """A cube in mm of 256^3 voxels (a square of 2048^2), clipped to the median shape, which may be fractional."""
    dimensions = len(spacing_mm)
    density = [1 / step for step in spacing_mm]
    scale = (LARGEST_VOXELS[dimensions] / math.prod(density)) ** (1 / dimensions)
    return tuple(min(round(each * scale), edge) for each, edge in zip(density, median_shape, strict=True))


def shrink(
    topology: Topology, spacing_mm: Sequence[float], median_shape: Sequence[float], poolings: int | None = None
) -> Topology:
    """The topology of the next smaller patch: the axis that is largest relative to the median shape gives way.

    It loses its divisor; not the present one, but that of the patch that would be left, so that no valid size is
    skipped. Among equals the last axis gives way; an edge of 2 voxels never does. PlanningError where none can.
    """
    edges = list(topology.patch_size)
    long = [axis for axis, edge in enumerate(edges) if edge > SMALLEST_PATCH_EDGE]
    if not long:
        raise PlanningError(
            f"No patch is small enough: {topology.patch_size} voxels still need too much memory.",
            "Raise --memory, or lower --base-filters or --batch-size.",
        )
    axis = max(long, key=lambda a: (edges[a] / median_shape[a], a))
    tried = list(edges)
    tried[axis] -= topology.divisor[axis]
    edges[axis] -= find_topology(spacing_mm, tried, poolings).divisor[axis]
    return find_topology(spacing_mm, edges, poolings)


def widen_thin_edges(topology: Topology) -> Topology:
    """The same topology with every patch edge at least 2 voxels long."""
    patch: Ints = tuple(max(SMALLEST_PATCH_EDGE, edge) for edge in topology.patch_size)
    return Topology(topology.strides, topology.kernels, patch)
