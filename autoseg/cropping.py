"""Where an image holds anything: the part that is not exactly zero."""

from __future__ import annotations

import numpy as np

from autoseg.geometry import Box


def nonzero_mask(image: np.ndarray) -> np.ndarray:
    """Where any channel differs from zero, with holes filled. image: (C, Z, Y, X). Returns (Z, Y, X) bool.

    A hole is a zero region that no path over voxel faces joins to the outside of the grid. NaN and infinity count as
    non-zero. An image of zeros gives a mask without a true voxel.
    """
    from scipy import ndimage

    mask = _any_channel(image)
    box = Box.around(mask)
    if box is None or mask[box.slices].all():
        return mask
    outside, _ = ndimage.label(np.pad(~mask[box.slices], 1, constant_values=True))
    mask[box.slices] = (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return mask


def nonzero_box(image: np.ndarray) -> Box:
    """The smallest box around all non-zero voxels. image: (C, Z, Y, X). Returns a box of (z, y, x).

    It equals the box of nonzero_mask: filling holes does not widen it. An image of zeros gives the whole grid.
    """
    lines = [np.zeros(n, dtype=bool) for n in image.shape[1:]]
    for channel in image:
        for z, plane in enumerate(channel):
            filled = plane != 0
            rows = filled.any(axis=1)
            lines[0][z] |= rows.any()
            lines[1] |= rows
            lines[2] |= filled.any(axis=0)
    found = [np.flatnonzero(line) for line in lines]
    if not len(found[0]):
        return Box.whole(image.shape[1:])
    return Box(tuple(int(f[0]) for f in found), tuple(int(f[-1]) + 1 for f in found))


def _any_channel(image: np.ndarray) -> np.ndarray:
    mask = image[0] != 0
    for channel in image[1:]:
        mask |= channel != 0
    return mask
