"""Where patches of an organ's region are cut, so that training sees what prediction will see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autoseg.data.sampling import PatchSampler, box_around, is_forced
from autoseg.geometry import Box


@dataclass(frozen=True)
class CaseRegions:
    """The regions of one prepared case, in its voxels; at least one.

    true: around the true box, None where the organ is not there; each sample moves it by up to jitter voxels per axis.
    located: as prediction would cut it, from a box of a locator that has not seen the case; None where it found none.
    organ: the number of the organ in a network that several share; None for a network of its own.
    """

    true: Box | None
    located: Box | None
    jitter: tuple[int, ...]
    organ: int | None = None


class RegionSampler:
    """Chooses cases as a PatchSampler does, and in each one of its regions, and a patch in that.

    A patch that is as long as the region is centred on it, as in prediction; along a longer region it lies anywhere, or
    around a voxel of the organ for the forced share of the samples.
    """

    def __init__(self, patches: PatchSampler, regions: Mapping[str, CaseRegions]) -> None:
        self.patches, self.regions = patches, regions

    def case_id(self, number: int) -> str:
        """The case of sample `number`."""
        return self.patches.case_id(number)

    def box(self, number: int, rng: np.random.Generator) -> Box:
        """The box of sample `number` in its case; rng: the sample's own random stream."""
        case_id, options = self.case_id(number), self.patches.options
        region = self._region(self.regions[case_id], rng)
        centre = self.patches.centre(case_id, rng, forced=is_forced(number, options.foreground_fraction))
        middle = [
            _middle(a, b, edge, None if centre is None else int(centre[axis]), rng)
            for axis, (a, b, edge) in enumerate(zip(region.start, region.stop, options.patch_size, strict=True))
        ]
        return box_around(middle, self.patches.store.labels(case_id).shape, options.patch_size)

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
