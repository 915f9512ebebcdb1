"""Images and labels onto another grid: the rules that say which grid and how, and the work.

Images are interpolated by cubic splines, labels linearly, class by class. Where voxels are more than three times as
long along one axis as along another, that axis is handled separately: it takes the nearest slice, since interpolating
across thick slices mixes what has nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from autoseg.geometry import Box, Shape
from autoseg.preprocessing.extents import Extents
from autoseg.preprocessing.regrid import Regrid, Voxels

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


def resample_image(channels: Sequence[Voxels], shape: Shape, separate: int | None = None) -> np.ndarray:
    """Resample by cubic splines; values stay within the input's range, per channel, or per slice of a separate axis.

    channels: (C, Z, Y, X), or a list of C things to read (Z, Y, X) from. Returns (C, *shape) float32, a new array.
    Equal to skimage.transform.resize(order=3, mode="edge", anti_aliasing=False) within 1e-6 of the value range.
    """
    resampled = np.empty((len(channels), *shape), dtype=np.float32)
    for channel, out in zip(channels, resampled, strict=True):
        regrid = Regrid.between(channel.shape, shape, axis_orders(3, separate))
        regrid.read(channel, Box.whole(shape), out)
        if not regrid.unchanged:
            _clip(out, channel, regrid, separate)
    return resampled


def _clip(resampled: np.ndarray, source: Voxels, regrid: Regrid, separate: int | None) -> None:
    """Splines overshoot at edges; bring the result back into the range of what it was made from."""
    axis = separate or 0
    planes = (source[(slice(None),) * axis + (slice(i, i + 1),)] for i in range(source.shape[axis]))
    low, high = np.array([(plane.min(), plane.max()) for plane in planes]).T
    if separate is None:
        np.clip(resampled, low.min(), high.max(), out=resampled)
        return
    nearest = regrid.axes[separate].nearest
    line = tuple(-1 if axis == separate else 1 for axis in range(3))
    np.clip(resampled, low[nearest].reshape(line), high[nearest].reshape(line), out=resampled)


def resample_labels(labels: np.ndarray, shape: Shape, separate: int | None = None) -> np.ndarray:
    """Resample the mask of every label linearly; a voxel gets the label with the largest weight, the higher on a tie.

    labels: (Z, Y, X) int16, not negative. Returns shape, int16, a new array.
    Where a label reaches one half this is what the peer does; where none does, it leaves background between organs.
    """
    regrid = Regrid.between(labels.shape, shape, axis_orders(1, separate))
    if regrid.unchanged:
        return np.array(labels, dtype=np.int16, order="C")
    extents = Extents.of_values(labels, int(labels.max(initial=0)))
    resampled = np.zeros(shape, dtype=np.int16)
    for slab in regrid.slabs(Box.whole(shape)):
        _label_slab(labels, extents, regrid, slab, resampled[slab.slices])
    return resampled


def _label_slab(labels: np.ndarray, extents: Extents, regrid: Regrid, slab: Box, out: np.ndarray) -> None:
    """Fill out, the slab of the result: a running maximum over classes; the background has what they leave of one."""
    boxes = output_boxes(extents, regrid, slab)
    if not boxes:
        return
    whole = around(boxes.values())
    best = np.zeros(whole.shape, dtype=np.float32)
    background = np.ones(whole.shape, dtype=np.float32)
    painted = out[shifted(whole, slab)]
    for index, box in boxes.items():
        inside = shifted(box, whole)
        weight = regrid.interpolate(labels[regrid.support(box)] == index + 1, box)
        background[inside] -= weight
        better = weight >= np.maximum(best[inside] - TIE, TIE)
        np.copyto(best[inside], weight, where=better)
        np.copyto(painted[inside], np.int16(index + 1), where=better)
    painted[background > best + TIE] = 0


def output_boxes(extents: Extents, regrid: Regrid, slab: Box) -> dict[int, Box]:
    """By index of the class, the part of a slab of the output in which the class has any weight, where it has."""
    found = {index: _output_box(extents, index, regrid, slab) for index in range(len(extents.starts))}
    return {index: box for index, box in found.items() if box is not None}


def _output_box(extents: Extents, index: int, regrid: Regrid, slab: Box) -> Box | None:
    z, y, x = regrid.axes
    box = extents.box(index, z.support(slab.slices[0]))
    if box is None:
        return None
    reached = [axis.reach(inputs) for axis, inputs in zip((z, y, x), box.slices, strict=True)]
    start = tuple(max(r.start, s) for r, s in zip(reached, slab.start, strict=True))
    stop = tuple(min(r.stop, s) for r, s in zip(reached, slab.stop, strict=True))
    return Box(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else None


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box around at least one box."""
    starts, stops = zip(*((box.start, box.stop) for box in boxes), strict=True)
    return Box(tuple(map(min, zip(*starts, strict=True))), tuple(map(max, zip(*stops, strict=True))))


def shifted(box: Box, slab: Box) -> tuple[slice, ...]:
    """A box of the output as an index into an array that holds the slab."""
    return tuple(slice(a - s, b - s) for a, b, s in zip(box.start, box.stop, slab.start, strict=True))
