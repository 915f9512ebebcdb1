"""From boxes to the regions in which organs are segmented, for one volume."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.geometry import Box, Geometry, Shape
from autoseg.locating.boxes import OVERSIZE, Located
from autoseg.locating.experience import Experience

LOG = logging.getLogger(__name__)
NOWHERE = "the locator found neither it nor an organ that tells where it should be"
OUTSIDE = "the locator did not find it, and its expected place lies outside the volume"
ROUNDING = 2
"""Voxels by which the ends of a region may be rounded outwards, in all."""


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


def plan_search(
    located: Located,
    experience: Experience,
    geometry: Geometry,
    *,
    least: Mapping[str, Shape],
    most: Mapping[str, Shape],
) -> Search:
    """Where to look for every organ of the experience.

    A box too large to be believed is taken only where no other organ tells the place. least: voxels that a region has
    at least, by organ: what one patch of its network sees. most: that it has at most; of a larger one the middle is
    searched, and a warning logged. Regions lie within the volume.
    """
    regions, nowhere = [], {}
    for organ in experience.organs:
        box = _box_of(organ, located, experience, geometry)
        if box is None:
            nowhere[organ] = NOWHERE
        elif min(box.clipped(geometry.shape).shape) < 1:
            nowhere[organ] = OUTSIDE
        else:
            searched = _middle(box.clipped(geometry.shape), most[organ], organ)
            placed = placed_within(searched, least[organ], geometry.shape)
            regions.append(Region(organ, placed, expected=organ not in located.boxes))
    return Search(tuple(regions), nowhere)


def largest_regions(
    experience: Experience, size_mm: Mapping[str, Sequence[float]], geometry: Geometry
) -> dict[str, Shape]:
    """The most voxels (z, y, x) of each organ's region in a volume, by name, before it is widened to a patch.

    As many as the largest located box that is believed has with its margins, or an expected one, but no more than the
    volume. size_mm: planned edges of a large organ's box (z, y, x), by name.
    """
    found = {}
    for organ, known in experience.organs.items():
        believed_mm = OVERSIZE * np.asarray(size_mm[organ]) + known.margin_low_mm + known.margin_high_mm
        edges_mm = np.maximum(believed_mm, experience.most_expected_mm(organ))
        edges = np.ceil(edges_mm / geometry.spacing_mm) + ROUNDING
        found[organ] = tuple(min(int(edge), n) for edge, n in zip(edges, geometry.shape, strict=True))
    return found


def _middle(box: Box, most: Shape, organ: str) -> Box:
    """The middle of a box, of at most these edges."""
    lengths = tuple(map(min, box.shape, most))
    if lengths == box.shape:
        return box
    LOG.warning(
        "%s: a region of %s voxels was found for it; only its middle, %s, is searched.", organ, box.shape, lengths
    )
    start = tuple(a + (edge - n) // 2 for a, edge, n in zip(box.start, box.shape, lengths, strict=True))
    return Box(start, tuple(a + n for a, n in zip(start, lengths, strict=True)))


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
