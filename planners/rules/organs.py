"""Which organs share a network, how large their regions are, and on which grid each is segmented."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import Ints, RegionPlan
from planners.rules.spacing import COARSENING, Grid

LARGEST_SHARE = 0.5
"""Of the median case, that all regions together may fill: beyond that a second stage saves nothing."""
MARGIN_SHARE = 0.15
"""Of the box's edge, on either side, before anybody measured how far the locator errs."""
LEAST_MARGIN_MM = 5.0
LOCATOR_VOXELS = 2.5
"""Of the locator's grid, on either side: about what it errs by after some minutes, whatever the organ's size."""
SURROUNDINGS = (1.5,)
"""Times the edges of a region, tried first: surroundings help where the time buys a wide network for them too."""
COARSEST = 1.5
"""Times the spacing of the full resolution, at most, for an organ too large for one patch; and times finer, at most."""
SMALL_VOXELS = 16**3
"""Of the full resolution: a smaller organ is mostly edge, and bringing it to another grid costs it Dice. A cube of so
many has a third of them on its surface."""


@dataclass(frozen=True)
class OrganGroup:
    """Organs of one network: one, or a confirmed left and right pair.

    cases: how many boxes there are of them. volume_mm3: of a median one, of the smaller side.
    """

    region: RegionPlan
    cases: int
    volume_mm3: float

    @property
    def stage_name(self) -> str:
        """Fit for the name of a folder."""
        return "organ_" + "+".join(re.sub(r"[^A-Za-z0-9_.-]+", "_", name) for name in self.region.organs)

    def with_margin(self, margin_mm: tuple[float, ...]) -> OrganGroup:
        """The same with a margin that the user or a recipe gives."""
        return replace(self, region=replace(self.region, margin_mm=margin_mm, margin_given=True))

    def widened(self, factor: float) -> OrganGroup:
        """The same with a region whose edges are so many times as long."""
        edges = zip(self.region_mm, self.region.size_mm, strict=True)
        margin = tuple((factor * edge - size) / 2 for edge, size in edges)
        return replace(self, region=replace(self.region, margin_mm=margin))

    @property
    def region_mm(self) -> tuple[float, ...]:
        """Edges of the region: the box and the margin on both sides."""
        return tuple(size + 2 * margin for size, margin in zip(self.region.size_mm, self.region.margin_mm, strict=True))


def why_no_regions(fingerprint: Fingerprint, labels: Labels) -> str:
    """Why organs cannot be segmented one by one, as a sentence without a full stop; empty where they can."""
    if labels.has_regions:
        return "Classes that overlap have no regions of their own"
    unknown = [name for name in labels.names if name not in fingerprint.classes or not fingerprint.classes[name].box_mm]
    if unknown:
        return f"No training case tells how large {unknown[0]} is"
    return ""


def group_organs(
    fingerprint: Fingerprint, labels: Labels, transpose: Ints, locator_mm: Sequence[float]
) -> list[OrganGroup]:
    """The organs in the order of the labels; the left and right of confirmed pairs together.

    Pairs share a network only where left to right is one and the same axis in all cases. locator_mm: the spacing of the
    locator's grid, in plan order.
    """
    partner = dict(fingerprint.pairs) if len(fingerprint.left_right_axes) == 1 else {}
    rights = set(partner.values())
    groups = [(name, *([partner[name]] if name in partner else [])) for name in labels.names if name not in rights]
    return [_group(names, fingerprint, transpose, locator_mm) for names in groups]


def _group(
    names: tuple[str, ...], fingerprint: Fingerprint, transpose: Ints, locator_mm: Sequence[float]
) -> OrganGroup:
    facts = [fingerprint.classes[name] for name in names]
    boxes = [fact.box_mm for fact in facts if fact.box_mm is not None]
    size = [max(box[axis].three_quarters for box in boxes) for axis in transpose]
    margin = tuple(
        max(LEAST_MARGIN_MM, MARGIN_SHARE * edge, LOCATOR_VOXELS * step)
        for edge, step in zip(size, locator_mm, strict=True)
    )
    volume_mm3 = min(fact.volume_mm3.median for fact in facts if fact.volume_mm3 is not None)
    return OrganGroup(RegionPlan(names, tuple(size), margin), sum(fact.present for fact in facts), volume_mm3)


def share_of_case(groups: Sequence[OrganGroup], fullres: Grid) -> float:
    """Voxels of all regions together / voxels of the median case, at most 1 for each."""
    case_mm3 = fullres.voxels * math.prod(fullres.spacing_mm)
    return sum(len(group.region.organs) * min(1.0, math.prod(group.region_mm) / case_mm3) for group in groups)


def grid_factors(group: OrganGroup, fullres: Grid) -> tuple[list[float], list[float]]:
    """How many times the full resolution's spacing an organ's may be, by steps of 3 %.

    Returns those of small organs, from where a median one has SMALL_VOXELS, the finest first; then 1 and coarser ones.
    """
    voxels = group.volume_mm3 / math.prod(fullres.spacing_mm)
    finest = max(1 / COARSEST, (voxels / SMALL_VOXELS) ** (1 / 3))
    finer = itertools.takewhile(lambda factor: factor < 1, (finest * COARSENING**n for n in itertools.count()))
    coarser = itertools.takewhile(lambda factor: factor <= COARSEST, (COARSENING**n for n in itertools.count()))
    return list(finer), list(coarser)


def region_grid(group: OrganGroup, fullres: Grid, factor: float) -> Grid:
    """The region of the organ, at most as long as the median case, with a spacing so many times the full one."""
    spacing = tuple(step * factor for step in fullres.spacing_mm)
    longest = (n * step for n, step in zip(fullres.median_shape, fullres.spacing_mm, strict=True))
    edges_mm = [min(edge, most) for edge, most in zip(group.region_mm, longest, strict=True)]
    shape = tuple(float(max(1, math.ceil(mm / step - 1e-6))) for mm, step in zip(edges_mm, spacing, strict=True))
    return Grid(spacing, shape, math.prod(shape))
