"""The boxes of the organs of a case, in true labels and in located ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.files import from_json, read_json, write_json
from autoseg.geometry import Box, Geometry
from autoseg.labels import Labels

SPECK = 0.5
"""A component with less than this share of the largest one's voxels is a mistake: often the other side's organ."""
OVERSIZE = 2.0
"""A located box with an edge longer than this many times a large organ's does not tell where the organ is."""


@dataclass(frozen=True)
class CaseBoxes:
    """Where the organs of a training case are, by class name, as far as they are there.

    located: by a network that has not seen the case, where it can be believed. open: classes that nobody contoured.
    made_by: checksum of that network.
    """

    geometry: Geometry
    true: dict[str, Box]
    located: dict[str, Box]
    open: tuple[str, ...] = ()
    made_by: str = ""


@dataclass(frozen=True)
class Located:
    """What a locator found, by class name: boxes that an organ can have, and boxes too large to be believed."""

    boxes: dict[str, Box]
    oversized: dict[str, Box]


def find_boxes(labels: np.ndarray, meaning: Labels) -> dict[str, Box]:
    """The box of each class that is there. labels: (Z, Y, X) label values of exclusive classes."""
    from scipy.ndimage import find_objects

    slices = find_objects(labels)
    found = {}
    for name, (value,) in meaning.classes.items():
        part = slices[value - 1] if value <= len(slices) else None
        if part is not None:
            found[name] = Box(tuple(axis.start for axis in part), tuple(axis.stop for axis in part))
    return found


def locate(labels: np.ndarray, meaning: Labels, geometry: Geometry, size_mm: Mapping[str, Sequence[float]]) -> Located:
    """The boxes that a locator's labels (Z, Y, X) give, without SPECKs.

    size_mm: edges of a large organ's box (z, y, x), by class name.
    """
    boxes: dict[str, Box] = {}
    oversized: dict[str, Box] = {}
    for name, box in find_boxes(labels, meaning).items():
        inner = _without_specks(meaning.mask(labels[box.slices], name), box)
        edges = np.multiply(inner.shape, geometry.spacing_mm)
        (oversized if (edges > OVERSIZE * np.asarray(size_mm[name])).any() else boxes)[name] = inner
    return Located(boxes, oversized)


def _without_specks(mask: np.ndarray, box: Box) -> Box:
    """mask: (z, y, x) bool within the box, with at least one true voxel."""
    from scipy.ndimage import label

    components, count = label(mask, structure=np.ones((3, 3, 3)))
    if count == 1:
        return box
    sizes = np.bincount(components.ravel())[1:]
    kept = Box.around(np.isin(components, np.flatnonzero(sizes >= SPECK * sizes.max()) + 1))
    assert kept is not None
    return Box(
        tuple(a + b for a, b in zip(box.start, kept.start, strict=True)),
        tuple(a + b for a, b in zip(box.start, kept.stop, strict=True)),
    )


def read_boxes(path: Path) -> CaseBoxes:
    """Read what write_boxes wrote; FormatError names a key that is unknown, missing or wrong."""
    return from_json(CaseBoxes, read_json(path), path)


def write_boxes(path: Path, boxes: CaseBoxes) -> None:
    """Write the boxes of a case whole or not at all."""
    write_json(path, boxes)
