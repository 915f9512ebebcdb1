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
    return Box.around(_any_channel(image)) or Box.whole(image.shape[1:])


def _any_channel(image: np.ndarray) -> np.ndarray:
    mask = image[0] != 0
    for channel in image[1:]:
        mask |= channel != 0
    return mask
