"""From boxes to the regions in which organs are segmented, for one volume."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoseg.geometry import Box, Geometry, Shape
from autoseg.locating.boxes import OVERSIZE, Located
from autoseg.locating.experience import FEWEST_CASES, Experience

LOG = logging.getLogger(__name__)
NOWHERE = "the locator found neither it nor an organ that tells where it should be"
OUTSIDE = "its expected place lies outside the volume"
MISSED = "the locator did not find it"
DOUBTED = "the locator found it far from where other organs tell that it is"
TOO_LARGE = "what the locator found is too large to be it"
FEWEST_VOTERS = 2
"""Organs that must tell where another one is, for its located box to be doubted."""
ROUNDING = 2
"""Voxels by which the ends of a region may be rounded outwards, in all."""


@dataclass(frozen=True)
class Region:
    """Where an organ is to be segmented. missed: why it is not the place that the locator tells; empty where it is."""

    organ: str
    box: Box
    missed: str = ""


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

    A box too large to be believed is taken only where no other organ tells the place, and one far from where the others
    tell not at all. least: voxels that a region has
    at least, by organ: what one patch of its network sees. most: that it has at most; of a larger one the middle is
    searched, and a warning logged. Regions lie within the volume.
    """
    regions, nowhere = [], {}
    doubted = far_from_expected(located.boxes, experience, geometry)
    believed = replace(located, boxes={name: box for name, box in located.boxes.items() if name not in doubted})
    for organ in experience.organs:
        box = _box_of(organ, believed, experience, geometry)
        missed = "" if organ in believed.boxes else _why_missed(organ, doubted, located)
        if box is None:
            nowhere[organ] = NOWHERE
        elif min(box.clipped(geometry.shape).shape) < 1:
            nowhere[organ] = f"{missed or MISSED}, and {OUTSIDE}"
        else:
            searched = _middle(box.clipped(geometry.shape), most[organ], organ)
            placed = placed_within(searched, least[organ], geometry.shape)
            regions.append(Region(organ, placed, missed))
    return Search(tuple(regions), nowhere)


def _why_missed(organ: str, doubted: Collection[str], located: Located) -> str:
    """Why the locator's box of an organ is not taken for its place."""
    if organ in doubted:
        return DOUBTED
    return TOO_LARGE if organ in located.oversized else MISSED


def far_from_expected(boxes: Mapping[str, Box], experience: Experience, geometry: Geometry) -> set[str]:
    """Located organs whose box does not touch the place where the others tell that it is: the wrong side, or a mistake.

    The farthest is taken out, then the others are judged without it, and so on. Where that would be half of the organs
    or more, none is doubted: then the patient lies otherwise than those of training. FEWEST_VOTERS must tell.
    """
    left = dict(boxes)
    while left:
        gaps = {organ: _gap_mm(organ, left, experience, geometry) for organ in left}
        farthest = max(gaps, key=lambda organ: gaps[organ])
        if gaps[farthest] <= 0:
            break
        del left[farthest]
    doubted = set(boxes) - set(left)
    return doubted if 2 * len(doubted) < len(boxes) else set()


def _gap_mm(organ: str, boxes: Mapping[str, Box], experience: Experience, geometry: Geometry) -> float:
    """Between a box and the place where those of others tell that the organ is, along the axis where it is widest."""
    known = experience.organs[organ].offsets
    voters = {name: box for name, box in boxes.items() if name in known and known[name].cases >= FEWEST_CASES}
    expected = experience.expected_box(organ, voters, geometry) if len(voters) >= FEWEST_VOTERS else None
    if expected is None:
        return 0.0
    own = boxes[organ]
    apart = np.maximum(np.subtract(expected.start, own.stop), np.subtract(own.start, expected.stop))
    return float(max(0.0, (apart * geometry.spacing_mm).max()))


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
