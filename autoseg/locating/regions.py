"""From boxes to the regions in which organs are segmented, for one volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.geometry import Box, Geometry, Shape
from autoseg.locating.boxes import Located
from autoseg.locating.experience import Experience

NOWHERE = "the locator found neither it nor an organ that tells where it should be"
OUTSIDE = "the locator did not find it, and its expected place lies outside the volume"


@dataclass(frozen=True)
class Region:
    """Where an organ is to be segmented. expected: whether the locator does not tell, at least not believably."""

    organ: str
    box: Box
    expected: bool = False


@dataclass(frozen=True)
class Search:
    """The regions of a volume, and why there is none for the other organs, by name."""

    regions: tuple[Region, ...]
    nowhere: dict[str, str]


def plan_search(located: Located, experience: Experience, geometry: Geometry, least: Mapping[str, Shape]) -> Search:
    """Where to look for every organ of the experience.

    A box too large to be believed is taken only where no other organ tells the place. least: voxels that a region has
    at least, by organ: what one patch of its network sees. Regions lie within the volume.
    """
    regions, nowhere = [], {}
    for organ in experience.organs:
        box = _box_of(organ, located, experience, geometry)
        if box is None:
            nowhere[organ] = NOWHERE
        elif min(box.clipped(geometry.shape).shape) < 1:
            nowhere[organ] = OUTSIDE
        else:
            placed = placed_within(box.clipped(geometry.shape), least[organ], geometry.shape)
            regions.append(Region(organ, placed, expected=organ not in located.boxes))
    return Search(tuple(regions), nowhere)


def _box_of(organ: str, located: Located, experience: Experience, geometry: Geometry) -> Box | None:
    if organ in located.boxes:
        return experience.with_margins(organ, located.boxes[organ], geometry)
    return experience.expected_box(organ, located.boxes, geometry) or located.oversized.get(organ)


def placed_within(box: Box, least: Shape, shape: Shape) -> Box:
    """A box inside an array of this shape, widened evenly to the least edges and moved as little as keeps it inside."""
    start = []
    lengths = [min(max(edge, short), n) for edge, short, n in zip(box.shape, least, shape, strict=True)]
    for a, edge, length, n in zip(box.start, box.shape, lengths, shape, strict=True):
        start.append(min(max(a - (length - edge) // 2, 0), n - length))
    return Box(tuple(start), tuple(a + length for a, length in zip(start, lengths, strict=True)))
