"""Where patches of an organ's region are cut, so that training sees what prediction will see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autoseg.data.sampling import ORDER_STREAM, PatchSampler, box_around, is_forced
from autoseg.geometry import Box
from autoseg.plans import Ints


@dataclass(frozen=True)
class CaseRegions:
    """The regions of one prepared case, in its voxels; at least one.

    true: around the true box, None where the organ is not there; each sample moves it by up to jitter voxels per axis.
    located: as prediction would cut it, from a box of a locator that has not seen the case; None where it found none.
    organ: the number of the organ in a network that several share, and patch_size: the patch that this organ has there;
    None for a network of its own.
    """

    true: Box | None
    located: Box | None
    jitter: Ints
    organ: int | None = None
    patch_size: Ints | None = None


class RegionSampler:
    """Chooses cases as a PatchSampler does, and in each one of its regions, and a patch in that.

    A patch that is as long as the region is centred on it, as in prediction; along a longer region it lies anywhere, or
    around a voxel of the organ for the forced share of the samples. Where organs share a network, a batch holds regions
    of one of them: they differ in their patches. All regions have their turn before one comes again, save that the
    last batch of an organ is filled up with its first; a turn begins with a batch of each organ.
    """

    def __init__(self, patches: PatchSampler, regions: Mapping[str, CaseRegions], *, batch_size: int = 1) -> None:
        self.patches, self.regions = patches, regions
        organs: dict[int | None, list[str]] = {}
        for case_id in patches.case_ids:
            organs.setdefault(regions[case_id].organ, []).append(case_id)
        self._organs = list(organs.values())
        crops = patches.options.crops_per_case
        self._in_a_row = math.lcm(batch_size, crops) // crops  # cases, so that no batch is of two organs
        self._last: tuple[int, list[list[str]]] | None = None

    def case_id(self, number: int) -> str:
        """The case of sample `number`."""
        if len(self._organs) == 1:
            return self.patches.case_id(number)
        row, position = divmod(number // self.patches.options.crops_per_case, self._in_a_row)
        turn, row = divmod(row, sum(math.ceil(len(cases) / self._in_a_row) for cases in self._organs))
        if self._last is None or self._last[0] != turn:
            self._last = turn, self._rows(turn)
        return self._last[1][row][position]

    def _rows(self, turn: int) -> list[list[str]]:
        """All regions in rows of one organ, in a new order each turn."""
        rng, count = np.random.default_rng([self.patches.seed, ORDER_STREAM, turn]), self._in_a_row
        first_rows, rows = [], []
        for cases in self._organs:
            order = [cases[place] for place in rng.permutation(len(cases))]
            order += [order[place % len(order)] for place in range(-len(order) % count)]
            first, *others = (order[begin : begin + count] for begin in range(0, len(order), count))
            first_rows.append(first)
            rows += others
        return [several[place] for several in (first_rows, rows) for place in rng.permutation(len(several))]

    def box(self, number: int, rng: np.random.Generator) -> Box:
        """The box of sample `number` in its case; rng: the sample's own random stream."""
        case_id, options = self.case_id(number), self.patches.options
        regions = self.regions[case_id]
        region, patch_size = self._region(regions, rng), regions.patch_size or options.patch_size
        centre = self.patches.centre(case_id, rng, forced=is_forced(number, options.foreground_fraction))
        middle = [
            _middle(a, b, edge, None if centre is None else int(centre[axis]), rng)
            for axis, (a, b, edge) in enumerate(zip(region.start, region.stop, patch_size, strict=True))
        ]
        return box_around(middle, self.patches.store.labels(case_id).shape, patch_size)

    def _region(self, regions: CaseRegions, rng: np.random.Generator) -> Box:
        takes_located = rng.random() < 0.5
        if regions.located is not None and (takes_located or regions.true is None):
            return regions.located
        assert regions.true is not None
        moved = [int(rng.integers(-most, most + 1)) for most in regions.jitter]
        start, stop = (np.add(end, moved).tolist() for end in (regions.true.start, regions.true.stop))
        return Box(tuple(start), tuple(stop))


def _middle(start: int, stop: int, edge: int, wanted: int | None, rng: np.random.Generator) -> int:
    """The middle of a patch along one axis of a region from start to stop, near the wanted voxel if there is one."""
    if stop - start <= edge:
        return (start + stop) // 2
    low, high = start + edge // 2, stop - edge + edge // 2
    return int(rng.integers(low, high + 1)) if wanted is None else min(max(wanted, low), high)
