"""The boxes of the organs of a case, in true labels and in located ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.files import from_json, read_json, write_json
from autoseg.geometry import Box, Geometry
from autoseg.labels import Labels

SPECK = 0.1
"""A component with less than this share of the largest one's voxels is taken for a mistake of the locator."""


@dataclass(frozen=True)
class CaseBoxes:
    """Where the organs of a training case are, by class name, as far as they are there.

    located: by a network that has not seen the case. open: classes that nobody contoured in it.
    """

    geometry: Geometry
    true: dict[str, Box]
    located: dict[str, Box]
    open: tuple[str, ...] = ()


def find_boxes(labels: np.ndarray, meaning: Labels, *, speck: float = 0.0) -> dict[str, Box]:
    """The box of each class that is there. labels: (Z, Y, X) label values of exclusive classes.

    speck: components, connected over corners too, with less than this share of the largest one's voxels do not count.
    """
    from scipy.ndimage import find_objects

    slices = find_objects(labels)
    found = {}
    for name, (value,) in meaning.classes.items():
        part = slices[value - 1] if value <= len(slices) else None
        if part is not None:
            box = Box(tuple(axis.start for axis in part), tuple(axis.stop for axis in part))
            found[name] = _without_specks(labels[part] == value, box, speck) if speck else box
    return found


def _without_specks(mask: np.ndarray, box: Box, speck: float) -> Box:
    """mask: (z, y, x) bool within the box, with at least one true voxel."""
    from scipy.ndimage import label

    components, count = label(mask, structure=np.ones((3, 3, 3)))
    if count == 1:
        return box
    sizes = np.bincount(components.ravel())[1:]
    kept = Box.around(np.isin(components, np.flatnonzero(sizes >= speck * sizes.max()) + 1))
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
