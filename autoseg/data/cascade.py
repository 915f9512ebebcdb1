"""The previous stage's labels as channels, and how they are spoilt so that the next stage does not trust them."""

from __future__ import annotations

import numpy as np

from autoseg.geometry import Box
from autoseg.labels import Labels

MORPHOLOGY_PROBABILITY = 0.4
REMOVAL_PROBABILITY = 0.2
RADII = (1, 8)
LARGEST_REMOVED_SHARE = 0.15


def class_masks(labels: np.ndarray, meaning: Labels) -> np.ndarray:
    """(K, Z, Y, X) bool: where each class is in labels (Z, Y, X); the background has no mask, regions may overlap."""
    return np.stack([meaning.mask(labels, name) for name in meaning.names])


class MaskChanges:
    """Random dilation, erosion, opening or closing, and removal of a component, on the masks of the classes.

    strength: scales the probabilities; 0 changes nothing. exclusive: whether a voxel belongs to one class at most, so
    that a class that grows takes voxels from the others.
    """

    def __init__(self, strength: float, *, exclusive: bool) -> None:
        self.strength, self.exclusive = strength, exclusive

    def apply(self, masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change masks (K, Z, Y, X) bool in place and return them."""
        if rng.random() < MORPHOLOGY_PROBABILITY * self.strength:
            for k in rng.permutation(len(masks)):
                self._change_shape(masks, int(k), rng)
        if rng.random() < REMOVAL_PROBABILITY * self.strength:
            for k in rng.permutation(len(masks)):
                remove_component(masks[k], rng)
        return masks

    def _change_shape(self, masks: np.ndarray, k: int, rng: np.random.Generator) -> None:
        operation = ("dilate", "erode", "close", "open")[rng.integers(4)]
        radius = int(rng.integers(RADII[0], RADII[1] + 1))
        changed = change_shape(masks[k], operation, radius)
        if self.exclusive:
            masks[:, changed & ~masks[k]] = False
        masks[k] = changed


def change_shape(mask: np.ndarray, operation: str, radius: int) -> np.ndarray:
    """Dilate, erode, close or open a mask (Z, Y, X) bool with a ball of a radius in voxels.

    By distances to the mask, within the mask's own box: as exact as a structuring element, and independent of its size.
    Nothing is known beyond the patch: the mask neither grows in from there nor is eroded from there.
    """
    box = Box.around(mask)
    if box is None:
        return mask.copy()
    window = box.grown((2 * radius + 1,) * 3).clipped(mask.shape).slices
    part = mask[window]
    if operation in ("dilate", "close"):
        part = _dilated(part, radius)
        part = ~_dilated(~part, radius) if operation == "close" else part
    else:
        part = ~_dilated(~part, radius)
        part = _dilated(part, radius) if operation == "open" else part
    changed = np.zeros_like(mask)
    changed[window] = part
    return changed


def _dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask) <= radius if mask.any() else mask


def remove_component(mask: np.ndarray, rng: np.random.Generator) -> None:
    """Remove a random connected component (26 neighbours) of a mask (Z, Y, X), in place.

    Components that fill 15 % of the patch or more stay.
    """
    from scipy.ndimage import label

    components, count = label(mask, structure=np.ones((3, 3, 3)))
    if not count:
        return
    sizes = np.bincount(components.ravel())[1:]
    small = np.flatnonzero(sizes < LARGEST_REMOVED_SHARE * mask.size) + 1
    if len(small):
        mask[components == small[rng.integers(len(small))]] = False
