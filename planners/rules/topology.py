"""How often, and along which axes, a U-Net halves the resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.plans import Ints

SMALLEST_EDGE = 4
"""No axis is halved to fewer voxels than this."""


@dataclass(frozen=True)
class Topology:
    """The skeleton of a U-Net. strides, kernels: one entry per level, finest first. patch_size: padded to fit."""

    strides: tuple[Ints, ...]
    kernels: tuple[Ints, ...]
    patch_size: Ints

    @property
    def poolings(self) -> Ints:
        """How often each axis is halved."""
        axes = range(len(self.patch_size))
        return tuple(sum(stride[axis] == 2 for stride in self.strides) for axis in axes)

    @property
    def divisor(self) -> Ints:
        """Patch edges are multiples of this."""
        return tuple(2**count for count in self.poolings)


def find_topology(spacing_mm: Sequence[float], patch: Sequence[float], poolings: int | None = None) -> Topology:
    """Halve every axis that is at least 8 voxels long and less than twice as coarse as the finest of those, and repeat.

    A single axis that is left must be 12 voxels long. A kernel spans 3 voxels along an axis as soon as its spacing is
    less than twice the finest of all, and 1 before; the bottleneck's spans 3 everywhere. patch: edges, which may be
    fractional; they are padded up to multiples of the divisor. poolings: at most so many halvings; None for no limit.
    """
    axes = range(len(spacing_mm))
    spacing, size = list(spacing_mm), list(patch)
    strides: list[Ints] = [(1,) * len(spacing)]
    kernels: list[Ints] = []
    kernel = [1] * len(spacing)
    while poolings is None or len(kernels) < poolings:
        chosen = _axes_to_halve(spacing, size)
        if not chosen:
            break
        kernel = [3 if k == 3 or spacing[axis] / min(spacing) < 2 else 1 for axis, k in enumerate(kernel)]
        strides.append(tuple(2 if axis in chosen else 1 for axis in axes))
        kernels.append(tuple(kernel))
        for axis in chosen:
            spacing[axis] *= 2
            size[axis] = math.ceil(size[axis] / 2)
    kernels.append((3,) * len(spacing))
    unpadded = Topology(tuple(strides), tuple(kernels), ())
    divisor = [2 ** sum(stride[axis] == 2 for stride in unpadded.strides) for axis in axes]
    padded = tuple(math.ceil(edge / step) * step for edge, step in zip(patch, divisor, strict=True))
    return Topology(unpadded.strides, unpadded.kernels, padded)


def _axes_to_halve(spacing: Sequence[float], size: Sequence[float]) -> list[int]:
    long = [axis for axis in range(len(size)) if size[axis] >= 2 * SMALLEST_EDGE]
    if not long:
        return []
    finest = min(spacing[axis] for axis in long)
    chosen = [axis for axis in long if spacing[axis] / finest < 2]
    return [] if len(chosen) == 1 and size[chosen[0]] < 3 * SMALLEST_EDGE else chosen
