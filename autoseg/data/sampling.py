"""Where patches are cut: which case, and which box of it, as a pure function of the seed and the sample's number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autoseg.geometry import Box
from autoseg.preprocessing.foreground import ANNOTATED

if TYPE_CHECKING:
    from autoseg.data.cache import CachedCases
    from autoseg.preprocessing.store import PreparedStore

ORDER_STREAM = 1


@dataclass(frozen=True)
class SamplingOptions:
    """How patches are chosen.

    patch_size: voxels along the three axes of prepared arrays (one along axis 0 in a 2D stage). foreground_fraction:
    the share of samples that are centred on a voxel of some class. centre_on_annotated: whether the others are centred
    on a voxel that somebody annotated (datasets with an ignore label), instead of anywhere. crops_per_case: samples in
    a row that come from one case.
    """

    patch_size: tuple[int, int, int]
    foreground_fraction: float
    centre_on_annotated: bool = False
    crops_per_case: int = 1


class Sampler(Protocol):
    """Chooses a case and a box for each sample."""

    def case_id(self, number: int) -> str:
        """The case of sample `number`."""

    def box(self, number: int, rng: np.random.Generator) -> Box:
        """The box of sample `number` in its case; rng: the sample's own random stream."""


class PatchSampler:
    """Looks at whole cases.

    Cases come in a new shuffled order each time that all had their turn, so that each is equally frequent even in a
    short run. A forced sample takes a class uniformly among those that its case holds, then a voxel of it: small organs
    are as frequent as large ones.
    """

    def __init__(
        self, store: PreparedStore | CachedCases, case_ids: Sequence[str], options: SamplingOptions, *, seed: int
    ) -> None:
        self.store, self.case_ids, self.options, self.seed = store, sorted(case_ids), options, seed

    def case_id(self, number: int) -> str:
        """The case of sample `number`."""
        turn, position = divmod(number // self.options.crops_per_case, len(self.case_ids))
        order = np.random.default_rng([self.seed, ORDER_STREAM, turn]).permutation(len(self.case_ids))
        return self.case_ids[order[position]]

    def box(self, number: int, rng: np.random.Generator) -> Box:
        """The box of sample `number` in its case; rng: the sample's own random stream."""
        case_id = self.case_id(number)
        shape = self.store.labels(case_id).shape
        centre = self.centre(case_id, rng, forced=is_forced(number, self.options.foreground_fraction))
        if centre is None:
            return random_box(shape, self.options.patch_size, rng)
        return box_around(centre, shape, self.options.patch_size)

    def centre(self, case_id: str, rng: np.random.Generator, *, forced: bool) -> np.ndarray | None:
        """The voxel that a sample is centred on; None for anywhere."""
        if not forced and not self.options.centre_on_annotated:
            return None
        voxels = {name: index for name, index in self.store.foreground(case_id).items() if len(index)}
        annotated = voxels.pop(ANNOTATED, None)
        if forced and voxels:
            index = voxels[sorted(voxels)[rng.integers(len(voxels))]]
        elif annotated is not None:
            index = annotated
        else:
            return None
        return index[rng.integers(len(index))]


def is_forced(number: int, fraction: float) -> bool:
    """Whether sample `number` is centred on foreground: of the first n samples floor(n * fraction) are.

    With a fraction of one half every second sample is: the last one in a batch of two.
    """
    return math.floor((number + 1) * fraction + 1e-9) > math.floor(number * fraction + 1e-9)


def random_box(shape: Sequence[int], patch_size: Sequence[int], rng: np.random.Generator) -> Box:
    """A box anywhere inside an array; centred on the axes that are smaller than the patch."""
    start = [
        int(rng.integers(n - p + 1)) if n > p else _centred_start(n, p) for n, p in zip(shape, patch_size, strict=True)
    ]
    return _box(start, patch_size)


def box_around(centre: Sequence[int] | np.ndarray, shape: Sequence[int], patch_size: Sequence[int]) -> Box:
    """The box centred on a voxel, moved by as little as keeps it inside the array at both ends of every axis.

    On axes that are smaller than the patch it is centred on the array instead.
    """
    start = [
        min(max(int(c) - p // 2, 0), n - p) if n > p else _centred_start(n, p)
        for c, n, p in zip(centre, shape, patch_size, strict=True)
    ]
    return _box(start, patch_size)


def _centred_start(length: int, patch: int) -> int:
    """Half of the padding before the array, rounded down."""
    return -((patch - length) // 2)


def _box(start: Sequence[int], patch_size: Sequence[int]) -> Box:
    return Box(tuple(start), tuple(s + p for s, p in zip(start, patch_size, strict=True)))
