"""Images and labels onto another grid: the rules that say which grid and how, and the work.

Images are interpolated by cubic splines, labels linearly, class by class. Where voxels are more than three times as
long along one axis as along another, that axis is handled separately: it takes the nearest slice, since interpolating
across thick slices mixes what has nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.geometry import Box, Shape
from autoseg.preprocessing.extents import Extents
from autoseg.preprocessing.interpolation import Regrid

ANISOTROPY_THRESHOLD = 3.0
TIE = 1e-6
"""Weights of labels closer than this are equal: float32 sums of thirds do not meet one half exactly."""


def resampled_shape(shape: Shape, spacing_mm: Sequence[float], target_mm: Sequence[float]) -> Shape:
    """Voxels per axis that cover the same extent at the target spacing, at least one."""
    return tuple(max(1, round(s / t * n)) for n, s, t in zip(shape, spacing_mm, target_mm, strict=True))


def separate_axis(spacing_mm: Sequence[float], target_mm: Sequence[float]) -> int | None:
    """The axis that takes the nearest slice, by the current spacing, else by the target; None for most volumes."""
    for spacing in (spacing_mm, target_mm):
        longest = max(spacing)
        if longest / min(spacing) > ANISOTROPY_THRESHOLD:
            axes = [axis for axis, length in enumerate(spacing) if length == longest]
            return axes[0] if len(axes) == 1 else None
    return None


def axis_orders(order: int, separate: int | None) -> Shape:
    """The order of interpolation per axis: nearest along the axis that is handled separately."""
    return tuple(0 if axis == separate else order for axis in range(3))


def resample_image(image: np.ndarray, shape: Shape, separate: int | None = None) -> np.ndarray:
    """Resample by cubic splines; values stay within the input's range, per channel, or per slice of a separate axis.

    image: (C, Z, Y, X) float32. Returns (C, *shape) float32; the image itself where the shape is already right.
    Equal to skimage.transform.resize(order=3, mode="edge", anti_aliasing=False) within 1e-6 of the value range.
    """
    regrid = Regrid.between(image.shape[1:], shape, axis_orders(3, separate))
    if regrid.unchanged:
        return image
    resampled = np.empty((len(image), *shape), dtype=np.float32)
    for channel, out in zip(image, resampled, strict=True):
        regrid.read(channel, Box.whole(shape), out)
        _clip(out, channel, regrid, separate)
    return resampled


def _clip(resampled: np.ndarray, source: np.ndarray, regrid: Regrid, separate: int | None) -> None:
    if separate is None:
        np.clip(resampled, source.min(), source.max(), out=resampled)
        return
    others = tuple(axis for axis in range(3) if axis != separate)
    low, high = source.min(axis=others, keepdims=True), source.max(axis=others, keepdims=True)
    nearest = regrid.axes[separate].nearest
    np.clip(resampled, low.take(nearest, separate), high.take(nearest, separate), out=resampled)


def resample_labels(labels: np.ndarray, shape: Shape, separate: int | None = None) -> np.ndarray:
    """Resample the mask of every label linearly; a voxel gets the label with the largest weight, the higher on a tie.

    labels: (Z, Y, X) int16, not negative. Returns shape, int16; the labels themselves where the shape is already right.
    Where a label reaches one half this is what the peer does; where none does, it leaves background between organs.
    """
    regrid = Regrid.between(labels.shape, shape, axis_orders(1, separate))
    if regrid.unchanged:
        return labels
    extents = Extents.of_values(labels, int(labels.max(initial=0)))
    resampled = np.zeros(shape, dtype=np.int16)
    for slab in regrid.slabs(Box.whole(shape)):
        _label_slab(labels, extents, regrid, slab, resampled[slab.slices])
    return resampled


def _label_slab(labels: np.ndarray, extents: Extents, regrid: Regrid, slab: Box, out: np.ndarray) -> None:
    """Fill out, the slab of the result: a running maximum over classes; the background has what they leave of one."""
    best = np.zeros(out.shape, dtype=np.float32)
    background = np.ones(out.shape, dtype=np.float32)
    for index in range(len(extents.starts)):
        box = output_box(extents, index, regrid, slab)
        if box is None:
            continue
        inside = shifted(box, slab)
        weight = regrid.interpolate(labels[regrid.support(box)] == index + 1, box)
        background[inside] -= weight
        better = weight >= np.maximum(best[inside] - TIE, TIE)
        best[inside][better] = weight[better]
        out[inside][better] = index + 1
    out[background > best + TIE] = 0


def output_box(extents: Extents, index: int, regrid: Regrid, slab: Box) -> Box | None:
    """The part of a slab of the output in which a class has any weight; None where it has none."""
    z, y, x = regrid.axes
    box = extents.box(index, z.support(slab.slices[0]))
    if box is None:
        return None
    reached = [axis.reach(inputs) for axis, inputs in zip((z, y, x), box.slices, strict=True)]
    start = tuple(max(r.start, s) for r, s in zip(reached, slab.start, strict=True))
    stop = tuple(min(r.stop, s) for r, s in zip(reached, slab.stop, strict=True))
    return Box(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else None


def shifted(box: Box, slab: Box) -> tuple[slice, ...]:
    """A box of the output as an index into an array that holds the slab."""
    return tuple(slice(a - s, b - s) for a, b, s in zip(box.start, box.stop, slab.start, strict=True))
