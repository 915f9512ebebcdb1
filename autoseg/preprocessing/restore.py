"""From a network's output on the prepared grid back to the volume's own grid: the inverse of case.prepare.

Logits are interpolated linearly, then decided, as precisely as if all classes had been resampled at once; but one class
at a time within its box, slab by slab, against a running maximum. Memory does not depend on the number of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autoseg.geometry import Box
from autoseg.labels import Labels
from autoseg.parallel import in_threads
from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.extents import Extents
from autoseg.preprocessing.regrid import Regrid, products_in_threads
from autoseg.preprocessing.resampling import around, axis_orders, output_boxes, shifted


def restore_labels(logits: np.ndarray, record: CaseRecord, labels: Labels, *, workers: int = 1) -> np.ndarray:
    """The labels on the source volume's grid. logits: (K, z, y, x) on the prepared grid.

    Returns (Z, Y, X) int16, decided as Labels.decode does; background outside the crop.
    workers: threads, each with a slab at a time.
    """
    restored = np.zeros(record.geometry.shape, dtype=np.int16)
    target = restored.transpose(record.transpose)[record.crop.slices]
    regrid = Regrid.between(logits.shape[1:], record.cropped_shape, axis_orders(1, record.separate_axis))
    _decode_onto(target, logits, regrid, labels, workers)
    return restored


def restore_probabilities(logits: np.ndarray, record: CaseRecord, labels: Labels) -> np.ndarray:
    """Probabilities on the source volume's grid: (K, Z, Y, X) float32; outside the crop surely background.

    Softmax over K for exclusive labels, a sigmoid per class for regions, after linear interpolation of the logits.
    """
    restored = np.zeros((len(logits), *record.geometry.shape), dtype=np.float32)
    if not labels.has_regions:
        restored[0] = 1
    target = restored.transpose(0, *[axis + 1 for axis in record.transpose])[(slice(None), *record.crop.slices)]
    regrid = Regrid.between(logits.shape[1:], record.cropped_shape, axis_orders(1, record.separate_axis))
    for slab in regrid.slabs(Box.whole(record.cropped_shape)):
        source = regrid.support(slab)
        values = np.stack([regrid.interpolate(channel[source], slab) for channel in logits])
        target[(slice(None), *slab.slices)] = _probabilities(values, exclusive=not labels.has_regions)
    return restored


def _probabilities(logits: np.ndarray, *, exclusive: bool) -> np.ndarray:
    if not exclusive:
        return 0.5 * (1 + np.tanh(0.5 * logits))
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def _decode_onto(target: np.ndarray, logits: np.ndarray, regrid: Regrid, labels: Labels, workers: int) -> None:
    """Write labels into target (z, y, x) int16 of zeros, the shape that regrid resamples to."""
    if regrid.unchanged:
        target[...] = labels.decode(logits)
        return
    values = labels.region_values if labels.has_regions else tuple(v[0] for v in labels.classes.values())
    extents = _region_extents(logits) if labels.has_regions else _exclusive_extents(logits)
    decode: Callable[..., None] = _paint_regions if labels.has_regions else _paint_exclusive

    def paint(slab: Box) -> None:
        decode(target[slab.slices], logits, values, extents, regrid, slab)

    with products_in_threads(workers):
        for _ in in_threads(paint, list(regrid.slabs(Box.whole(target.shape))), workers):
            pass


def _paint_exclusive(
    out: np.ndarray, logits: np.ndarray, values: tuple[int, ...], extents: Extents, regrid: Regrid, slab: Box
) -> None:
    """Decide a slab among exclusive classes: the largest logit, the lower class on a tie, the background first."""
    boxes = output_boxes(extents, regrid, slab)
    if not boxes:
        return
    whole = around(boxes.values())
    best = regrid.interpolate(logits[0][regrid.support(whole)], whole)
    for index, box in boxes.items():
        logit = regrid.interpolate(logits[index + 1][regrid.support(box)], box)
        rival = best[shifted(box, whole)]
        better = logit > rival
        np.copyto(rival, logit, where=better)
        np.copyto(out[shifted(box, slab)], np.int16(values[index]), where=better)


def _paint_regions(
    out: np.ndarray, logits: np.ndarray, values: tuple[int, ...], extents: Extents, regrid: Regrid, slab: Box
) -> None:
    """Paint every region where its logit is positive, later ones over earlier ones."""
    for index, box in output_boxes(extents, regrid, slab).items():
        logit = regrid.interpolate(logits[index][regrid.support(box)], box)
        np.copyto(out[shifted(box, slab)], np.int16(values[index]), where=logit > 0)


def _region_extents(logits: np.ndarray) -> Extents:
    """Between voxels a region's logit is positive only where it is at one of them."""
    return Extents.stacked([Extents.of_mask(channel > 0) for channel in logits])


def _exclusive_extents(logits: np.ndarray) -> Extents:
    """Where each class but the background wins, or comes second in a cell whose corners have several winners.

    Between corners with one winner no other class can win; between several, a class that is second at a corner can.
    """
    winners = _winners(logits)
    seconds = np.zeros_like(winners)
    for z, plane in enumerate(winners):
        voxels = np.nonzero(_has_other_neighbours(winners[max(z - 1, 0) : z + 2]))
        seconds[z][voxels] = _runner_up([channel[z][voxels] for channel in logits], plane[voxels])
    count = len(logits) - 1
    return Extents.of_values(winners, count).joined(Extents.of_values(seconds, count))


def _winners(logits: np.ndarray) -> np.ndarray:
    """(z, y, x) int16 index of the largest logit, the lowest on a tie; plane by plane, for little memory."""
    winners = np.empty(logits.shape[1:], dtype=np.int16)
    for z, plane in enumerate(winners):
        plane[...] = logits[:, z].argmax(axis=0)
    return winners


def _runner_up(logits: Sequence[np.ndarray], winners: np.ndarray) -> np.ndarray:
    """(n,) int16 index of the second largest logit. logits: K arrays (n,); winners: (n,) indices of the largest."""
    best = np.full(len(winners), -np.inf, dtype=np.float32)
    second = np.zeros(len(winners), dtype=np.int16)
    for index, logit in enumerate(logits):
        better = (logit > best) & (winners != index)
        best[better] = logit[better]
        second[better] = index
    return second


def _has_other_neighbours(planes: np.ndarray) -> np.ndarray:
    """Pixels of a plane among whose neighbours, diagonal ones included, are several values.

    planes: (2 or 3, y, x), the plane and those beside it. Returns (y, x) bool.
    """
    low, high = planes.min(axis=0), planes.max(axis=0)
    for axis in range(2):
        low, high = _over_neighbours(np.minimum, low, axis), _over_neighbours(np.maximum, high, axis)
    return low != high


def _over_neighbours(combine: np.ufunc, values: np.ndarray, axis: int) -> np.ndarray:
    moved, result = np.moveaxis(values, axis, 0), values.copy()
    out = np.moveaxis(result, axis, 0)
    combine(out[1:], moved[:-1], out=out[1:])
    combine(out[:-1], moved[1:], out=out[:-1])
    return result
