"""Where a CT holds nothing but air: windows there need no network.

Air has one value in every CT, -1000 HU, and no other modality has such a value. What counts is the distance to tissue:
a voxel is safe from being left out where tissue lies within a margin of it, whatever the window. Lungs are full of
vessels and lie well within that; whether every class does is measured in the training cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.geometry import Box, Shape
from autoseg.plans import AirRule

CT_NAME = "ct"
"""The channel name, in lower case, whose values are HU."""
TISSUE_ABOVE_HU = -500.0
MARGIN_MM = 20.0
BLOCK_MM = 4.0


def ct_channel(names: Sequence[str]) -> int | None:
    """The first channel that holds HU by its name; None where there is none."""
    return next((number for number, name in enumerate(names) if name.casefold() == CT_NAME), None)


def count_in_air(mask: np.ndarray, box: Box, channel: np.ndarray, spacing_mm: Sequence[float]) -> int:
    """How many voxels of a class lie farther than MARGIN_MM from all tissue, along at least one axis.

    mask: (z, y, x) bool within the box. channel: (Z, Y, X) HU, of which the box is a part.
    """
    from scipy.ndimage import maximum_filter1d

    if not (mask & (channel[box.slices] <= TISSUE_ABOVE_HU)).any():
        return 0
    margin = [int(MARGIN_MM // step) for step in spacing_mm]
    start = tuple(max(a - m, 0) for a, m in zip(box.start, margin, strict=True))
    stop = tuple(min(b + m, n) for b, m, n in zip(box.stop, margin, channel.shape, strict=True))
    near = (channel[Box(start, stop).slices] > TISSUE_ABOVE_HU).view(np.uint8)
    for axis, reach in enumerate(margin):
        near = maximum_filter1d(near, 2 * reach + 1, axis=axis, mode="constant")
    inside = tuple(slice(a - s, b - s) for a, b, s in zip(box.start, box.stop, start, strict=True))
    return int(np.count_nonzero(mask & (near[inside] == 0)))


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where a volume holds anything but air, in blocks of some BLOCK_MM.

    shape: (z, y, x) voxels. block, margin: in voxels per axis. sums: (z + 1, y + 1, x + 1) how many blocks with tissue
    lie before each block along all axes.
    """

    shape: Shape
    block: Shape
    margin: tuple[float, ...]
    sums: np.ndarray

    @classmethod
    def of(cls, channel: np.ndarray, spacing_mm: Sequence[float], rule: AirRule) -> Tissue:
        """Of a channel (z, y, x) in its own unit."""
        block = tuple(max(1, int(BLOCK_MM // step)) for step in spacing_mm)
        starts = [np.arange(0, length, edge) for length, edge in zip(channel.shape, block, strict=True)]
        blocks = np.empty([len(axis) for axis in starts], dtype=bool)
        for number, z in enumerate(starts[0]):
            rows = (channel[z : z + block[0]] > rule.tissue_above).any(axis=0)
            rows = np.logical_or.reduceat(rows, starts[1], axis=0)
            blocks[number] = np.logical_or.reduceat(rows, starts[2], axis=1)
        sums = np.pad(blocks.astype(np.int32), ((1, 0),) * 3)
        for axis in range(3):
            np.cumsum(sums, axis=axis, out=sums)
        return cls(channel.shape, block, tuple(rule.margin_mm / step for step in spacing_mm), sums)

    def is_near(self, where: Sequence[slice], shape: Shape) -> bool:
        """Whether there is tissue in a box, or within the margin of it.

        where: the box on a grid of this shape (z, y, x) that covers the same extent; it may reach beyond the grid.
        """
        low, high = [], []
        for part, length, own, block, margin in zip(where, shape, self.shape, self.block, self.margin, strict=True):
            scale = own / length
            low.append(max(int((part.start * scale - margin) // block), 0))
            high.append(max(min(int(-(-(part.stop * scale + margin) // block)), -(-own // block)), low[-1]))
        (a, b, c), (d, e, f) = low, high
        s = self.sums
        inside = s[d, e, f] - s[a, e, f] - s[d, b, f] - s[d, e, c]
        return bool(inside + s[a, b, f] + s[a, e, c] + s[d, b, c] - s[a, b, c])
