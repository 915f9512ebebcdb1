"""From a network's output on the prepared grid back to the volume's own grid: the inverse of case.prepare.

Logits are interpolated linearly, then decided, as precisely as if all classes had been resampled at once; but one class
at a time within its box, slab by slab, against a running maximum. Memory does not depend on the number of classes, and
a slab needs only the planes of logits that it lies between: restoring begins before the last logits are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, final

import numpy as np

from autoseg.geometry import Box
from autoseg.labels import Labels
from autoseg.parallel import in_threads
from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.contenders import Logits, winning_extents
from autoseg.preprocessing.extents import Extents
from autoseg.preprocessing.interpolation import BLOCK_ROWS
from autoseg.preprocessing.regrid import Regrid, products_in_threads
from autoseg.preprocessing.resampling import around, axis_orders, output_boxes, shifted

Order = tuple[int, int, int]
IN_ORDER: Order = (0, 1, 2)
SLAB_VOXELS = 1 << 24
"""A slab is made of fewer slices where these are large: its arrays take some 70 MB each, whatever the volume."""


class Restorer(Protocol):
    """Takes logits plane by plane, along the axis that comes first in its order of axes."""

    most_planes: int
    """How many planes a slab reads at most."""

    def advance(self, logits: Logits, finished: int) -> int:
        """Restore all that needs only the first `finished` planes. Returns the first plane that is needed still."""


def restore_labels(logits: np.ndarray, record: CaseRecord, labels: Labels, *, workers: int = 1) -> np.ndarray:
    """The labels on the source volume's grid. logits: (K, z, y, x) on the prepared grid.

    Returns (Z, Y, X) int16, decided as Labels.decode does; background outside the crop.
    workers: threads, each with a slab at a time.
    """
    restorer = LabelRestorer(record, labels, workers=workers)
    restorer.advance(logits, logits.shape[1])
    return restorer.restored


def restore_probabilities(logits: np.ndarray, record: CaseRecord, labels: Labels) -> np.ndarray:
    """Probabilities on the source volume's grid: (K, Z, Y, X) float32; outside the crop surely background.

    Softmax over K for exclusive labels, a sigmoid per class for regions, after linear interpolation of the logits.
    """
    restorer = ProbabilityRestorer(record, labels)
    restorer.advance(logits, logits.shape[1])
    return restorer.restored


class _Slabs:
    """The slabs of a record's cropped grid, in the order in which the planes of the prepared grid arrive.

    order: of the prepared axes, the one along which planes arrive first; order[a] becomes axis a.
    """

    def __init__(self, record: CaseRecord, order: Order) -> None:
        shapes = record.prepared_shape, record.cropped_shape, axis_orders(1, record.separate_axis)
        inputs, outputs, orders = (tuple(values[axis] for axis in order) for values in shapes)
        self.regrid = Regrid.between(inputs, outputs, orders)
        self._left = list(_cut(self.regrid, Box.whole(outputs)))
        self.most_planes = max(
            _planes(self.regrid, slab).stop - _planes(self.regrid, slab).start for slab in self._left
        )

    def ready(self, finished: int) -> list[Box]:
        """The slabs, not given before, that read only the first `finished` planes."""
        count = 0
        while count < len(self._left) and _planes(self.regrid, self._left[count]).stop <= finished:
            count += 1
        ready, self._left = self._left[:count], self._left[count:]
        return ready

    def needed_from(self, finished: int) -> int:
        """The first plane that the slabs not given yet read."""
        return min(finished, _planes(self.regrid, self._left[0]).start) if self._left else finished


@final
class LabelRestorer:
    """Labels on the source volume's grid. restored: (Z, Y, X) int16, complete once every plane was there."""

    def __init__(self, record: CaseRecord, labels: Labels, *, order: Order = IN_ORDER, workers: int = 1) -> None:
        self.restored = np.zeros(record.geometry.shape, dtype=np.int16)
        self._target = self.restored.transpose(record.transpose)[record.crop.slices].transpose(order)
        self._slabs = _Slabs(record, order)
        self.most_planes = self._slabs.most_planes
        self._regions = labels.has_regions
        self._values = labels.region_values if self._regions else (0, *(v[0] for v in labels.classes.values()))
        self._workers = workers

    def advance(self, logits: Logits, finished: int) -> int:
        """See Restorer."""
        paint: Callable[..., None] = _paint_regions if self._regions else _paint_exclusive
        regrid, ready = self._slabs.regrid, self._slabs.ready(finished)

        def work(slab: Box) -> None:
            paint(self._target[slab.slices], logits, self._values, regrid, slab)

        workers = min(self._workers, len(ready))
        if workers <= 1:
            for slab in ready:
                work(slab)
        else:
            with products_in_threads(workers):
                for _ in in_threads(work, ready, workers):
                    pass
        return self._slabs.needed_from(finished)


@final
class ProbabilityRestorer:
    """Probabilities on the source volume's grid. restored: (K, Z, Y, X) float32, see restore_probabilities."""

    def __init__(self, record: CaseRecord, labels: Labels, *, order: Order = IN_ORDER) -> None:
        self.restored = np.zeros((labels.output_count, *record.geometry.shape), dtype=np.float32)
        if not labels.has_regions:
            self.restored[0] = 1
        transposed = self.restored.transpose(0, *[axis + 1 for axis in record.transpose])
        cropped = transposed[(slice(None), *record.crop.slices)]
        self._target = cropped.transpose(0, *[axis + 1 for axis in order])
        self._slabs = _Slabs(record, order)
        self.most_planes = self._slabs.most_planes
        self._exclusive = not labels.has_regions

    def advance(self, logits: Logits, finished: int) -> int:
        """See Restorer."""
        regrid = self._slabs.regrid
        for slab in self._slabs.ready(finished):
            source = regrid.support(slab)
            part = self._target[(slice(None), *slab.slices)]
            for index, out in enumerate(part):
                out[...] = regrid.interpolate(logits[index][source], slab)
            _to_probabilities(part, exclusive=self._exclusive)
        return self._slabs.needed_from(finished)


@final
class Together:
    """Several restorers of the same planes."""

    def __init__(self, restorers: Sequence[Restorer]) -> None:
        self._restorers = tuple(restorers)
        self.most_planes = max(restorer.most_planes for restorer in restorers)

    def advance(self, logits: Logits, finished: int) -> int:
        """See Restorer."""
        return min(restorer.advance(logits, finished) for restorer in self._restorers)


def slab_rows(regrid: Regrid) -> int:
    """Slices of a slab: BLOCK_ROWS, halved until they read no more planes than that and stay within SLAB_VOXELS."""
    z, y, x = regrid.axes
    rows = BLOCK_ROWS
    while rows > 1 and (rows * z.inputs > BLOCK_ROWS * z.outputs or rows * y.outputs * x.outputs > SLAB_VOXELS):
        rows //= 2
    return rows


def _cut(regrid: Regrid, box: Box) -> list[Box]:
    rows = slab_rows(regrid)
    starts = range(0, box.stop[0], rows)
    return [Box((z, *box.start[1:]), (min(z + rows, box.stop[0]), *box.stop[1:])) for z in starts]


def _planes(regrid: Regrid, slab: Box) -> slice:
    return regrid.axes[0].support(slab.slices[0])


def _to_probabilities(logits: np.ndarray, *, exclusive: bool) -> None:
    """In place, plane by plane. logits: (K, z, y, x)."""
    for z in range(logits.shape[1]):
        plane = logits[:, z]
        if not exclusive:
            plane[...] = 0.5 * (1 + np.tanh(0.5 * plane))
            continue
        powers = np.exp(plane - plane.max(axis=0))
        np.divide(powers, powers.sum(axis=0), out=plane)


def _paint_exclusive(out: np.ndarray, logits: Logits, values: tuple[int, ...], regrid: Regrid, slab: Box) -> None:
    """Decide a slab among exclusive classes: the largest logit, the lower class on a tie, the background first.

    out: the slab, int16 of zeros. values: of the classes, the background's first.
    """
    source = regrid.support(slab)
    winners = _winners(logits, source)
    if regrid.unchanged:
        out[...] = np.array(values, dtype=np.int16)[winners]
        return
    boxes = output_boxes(winning_extents(logits, source, winners, regrid), regrid, slab)
    if not boxes:
        return
    whole = around(boxes.values())
    best = regrid.interpolate(logits[0][regrid.support(whole)], whole)
    for index, box in boxes.items():
        logit = regrid.interpolate(logits[index + 1][regrid.support(box)], box)
        rival = best[shifted(box, whole)]
        better = logit > rival
        np.copyto(rival, logit, where=better)
        np.copyto(out[shifted(box, slab)], np.int16(values[index + 1]), where=better)


def _paint_regions(out: np.ndarray, logits: Logits, values: tuple[int, ...], regrid: Regrid, slab: Box) -> None:
    """Paint every region where its logit is positive, later ones over earlier ones; out as in _paint_exclusive."""
    source = regrid.support(slab)
    positive = (logits[index][source] > 0 for index in range(len(logits)))
    extents = Extents.stacked([Extents.of_mask(mask) for mask in positive]).within(source)
    for index, box in output_boxes(extents, regrid, slab).items():
        logit = regrid.interpolate(logits[index][regrid.support(box)], box)
        np.copyto(out[shifted(box, slab)], np.int16(values[index]), where=logit > 0)


def _winners(logits: Logits, source: tuple[slice, ...]) -> np.ndarray:
    """(z, y, x) int16 index of the largest logit within a part, the lowest on a tie."""
    best = np.array(logits[0][source], dtype=np.float32)
    winners = np.zeros(best.shape, dtype=np.int16)
    for index in range(1, len(logits)):
        logit = logits[index][source]
        better = logit > best
        np.copyto(winners, np.int16(index), where=better)
        np.maximum(best, logit, out=best)
    return winners
